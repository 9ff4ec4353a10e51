-- Every kind of object and of value that MariaDB knows and a shop might have; loaded by the client, for it needs DELIMITER.
SET NAMES utf8mb4;
SET sql_mode = '';
CREATE TABLE kinds (
  id int PRIMARY KEY AUTO_INCREMENT, f float, fu float unsigned, d double, b bit(10), b1 bit(1), bin varbinary(20), bl longblob,
  e enum('a', 'ö'), s set('x', 'y'), dt date, ts timestamp(6) NULL, dtm datetime(3), tm time(6), y year, j json,
  txt text CHARACTER SET latin1, u varchar(50), g point, gen int AS (y * 2) STORED, gv int AS (y * 3) VIRTUAL,
  inv int INVISIBLE DEFAULT 7, u6 uuid, ip inet6, n decimal(30, 10), CONSTRAINT sane CHECK (n < 1000000)
);
INSERT INTO kinds (f, fu, d, b, b1, bin, bl, e, s, dt, ts, dtm, tm, y, j, txt, u, g, inv, u6, ip, n) VALUES
  (1.23456789, 16777217, 1.2345678901234567e-300, b'1010101010', b'1', x'00ff0a0d27225c', repeat(x'001a5c270a', 100), 'ö', 'x,y',
   '0000-00-00', '2026-03-29 01:30:00.123456', '0000-00-00 00:00:00.000', '-838:59:59.999999', 1999, '{"a": "ü\\n😀"}',
   'latin ü\n\t\\''"', '😀 NULL', ST_GeomFromText('POINT(1.1 2.2)', 4326), 8, '123e4567-e89b-12d3-a456-426655440000', '::1', 12345.0123456789),
  (16777215, 3.4e38, -0e0, b'0', b'0', '', '', 'a', '', '2024-02-31', NULL, '2026-01-00', NULL, 0, NULL, 'NULL', '\\N', NULL, NULL, NULL, NULL, NULL);
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO kinds (id) VALUES (0), (-5);
CREATE TABLE plain (id bigint PRIMARY KEY, b bit(10), bin varbinary(300), e enum('a', 'ö'), txt text CHARACTER SET latin1, u varchar(50), KEY by_u (u));
INSERT INTO plain VALUES (1, b'1010101010', x'00ff0a0d27225c1a', 'ö', 'latin ü\n\t\\''"', '😀\nINSERT INTO `plain` VALUES (');
INSERT INTO plain SELECT 2, 5, unhex(group_concat(lpad(hex(seq), 2, '0') ORDER BY seq SEPARATOR '')), 'a', 'x', 'every byte' FROM seq_0_to_255;
CREATE TABLE wide (a varchar(20) CHARACTER SET utf16, e enum('ä', 'b') CHARACTER SET ucs2);
INSERT INTO wide VALUES ('x😀''\\', 'ä');
CREATE TABLE versioned (id int PRIMARY KEY, v float) WITH SYSTEM VERSIONING;
INSERT INTO versioned VALUES (1, 1.23456789);
UPDATE versioned SET v = 2.3456789;
DELETE FROM versioned;
INSERT INTO versioned VALUES (2, 2);
CREATE TABLE versioned_by_name (
  id int PRIMARY KEY, v int, rs timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, re timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE,
  PERIOD FOR SYSTEM_TIME (rs, re)
) WITH SYSTEM VERSIONING;
INSERT INTO versioned_by_name VALUES (1, 1);
UPDATE versioned_by_name SET v = 9;
CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3;
DO NEXTVAL(numbers);
CREATE TABLE numbered (id int PRIMARY KEY DEFAULT NEXTVAL(numbers), note text);
INSERT INTO numbered (note) VALUES ('one'), ('two');
CREATE TABLE parted (id int, k int, PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parted VALUES (1, 1), (2, 2), (3, 3);
SET foreign_key_checks = 0;
CREATE TABLE child (id int PRIMARY KEY, parent int, CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES zparent (id) ON DELETE CASCADE);
CREATE TABLE zparent (id int PRIMARY KEY, child int, CONSTRAINT to_child FOREIGN KEY (child) REFERENCES child (id));
INSERT INTO child VALUES (1, 1);
INSERT INTO zparent VALUES (1, 1);
CREATE TABLE `odd``na:me ;(x` (`a b` int, `c"d:e` text);
INSERT INTO `odd``na:me ;(x` VALUES (1, 'x;\nINSERT INTO `y`');
CREATE TABLE keyed (
  a int, b varchar(20), c text, g point NOT NULL, n int AUTO_INCREMENT, w int AS (a * 2) VIRTUAL, PRIMARY KEY (b), UNIQUE KEY u2 (c(10)), UNIQUE KEY u1 (a),
  KEY counted (n), KEY z (a, b), KEY `it's` (c(5)), KEY ignored (b) IGNORED, KEY descending (a DESC), KEY over_virtual (w), FULLTEXT KEY words (c),
  SPATIAL KEY there (g), KEY same (a), CONSTRAINT second FOREIGN KEY (a) REFERENCES zparent (id), CONSTRAINT first FOREIGN KEY (n) REFERENCES kinds (id)
) COMMENT 'with ; and \nKEY `x` (y),';
INSERT INTO keyed (a, b, c, g, n) VALUES (1, 'one', '  KEY `no` (`n`),\n', POINT(1, 2), 1);
CREATE TABLE `--help` (id int);
CREATE TABLE untouched (id int);
SET foreign_key_checks = 1;
CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;
CREATE VIEW z_view AS SELECT id FROM kinds;
CREATE SQL SECURITY INVOKER VIEW a_view AS SELECT z.id, one() AS o FROM z_view z;
DELIMITER //
CREATE PROCEDURE proc(IN a int, OUT b int) BEGIN SET b = a; SELECT ';'; END//
CREATE TRIGGER tr BEFORE INSERT ON zparent FOR EACH ROW BEGIN SET NEW.id = NEW.id + 1; END//
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM untouched//
DELIMITER ;
