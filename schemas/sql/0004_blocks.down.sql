DROP TABLE payout_lines;
DROP TABLE payouts;
DROP TABLE rounds;
DROP TABLE blocks;
DROP FUNCTION refuse_change();
