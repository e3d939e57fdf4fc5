-- Statistics gathered while a catalog is small let whole tables be read when it has grown. Without any, the planner
-- takes every table for a large one, and a statement always takes the same way.
DROP TABLE IF EXISTS sqlite_stat1;
