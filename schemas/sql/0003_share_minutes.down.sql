DROP TABLE share_minutes_by_lane;
DROP TABLE share_minutes_by_node;
DROP TABLE share_minutes_by_worker;
DROP TABLE share_minutes_by_miner;
