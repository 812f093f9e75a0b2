-- The extension stays: it may serve other tables, and a session that unloads it cannot load it again.
DROP TABLE stream_position;
DROP TABLE workers;
DROP TABLE miners;
DROP TABLE nodes;
