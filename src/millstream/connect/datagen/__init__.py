"""Made-up records for trying things out, in the shape of Confluent's Datagen connector."""
