DROP VIEW recorded_shares;
DROP TABLE rejections;
DROP TABLE refusals;
DROP TABLE shares;
