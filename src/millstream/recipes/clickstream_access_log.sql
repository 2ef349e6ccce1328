-- Feeds the recipe from a web server's access log (Common or Combined Log Format) instead of made-up
-- clicks: this one statement takes the place of its two Datagen connectors. Set the variable
-- access_log to the file's path.

CREATE SOURCE CONNECTOR IF NOT EXISTS ACCESS_LOG WITH (
  'connector.class'          = 'AccessLogSource',
  'file'                     = '${access_log}',
  'topic'                    = 'clickstream',
  'users.topic'              = 'clickstream_users'
);
