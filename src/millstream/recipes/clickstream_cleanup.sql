-- Removes what clickstream.sql made, from the last to the first, topics included. The recipe gives
-- the form of these statements ("Cleanup"); the names are put in here.

DROP CONNECTOR IF EXISTS analyzed_clickstream;
DROP TABLE IF EXISTS user_ip_activity DELETE TOPIC;
DROP TABLE IF EXISTS errors_per_min_alert DELETE TOPIC;
DROP TABLE IF EXISTS click_user_sessions DELETE TOPIC;
DROP TABLE IF EXISTS pages_per_min DELETE TOPIC;
DROP STREAM IF EXISTS user_clickstream DELETE TOPIC;
DROP TABLE IF EXISTS web_users DELETE TOPIC;
DROP STREAM IF EXISTS clickstream DELETE TOPIC;
DROP CONNECTOR IF EXISTS DATAGEN_CLICKS;
DROP CONNECTOR IF EXISTS DATAGEN_USERS;
