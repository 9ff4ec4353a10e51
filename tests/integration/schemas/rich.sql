CREATE SCHEMA shop; CREATE SCHEMA "Odd ""Name";
CREATE EXTENSION citext SCHEMA public; CREATE EXTENSION btree_gist; CREATE EXTENSION pg_trgm SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('sad', 'it''s ok', 'happy'); ALTER TYPE shop.mood ADD VALUE 'meh' BEFORE 'happy';
CREATE DOMAIN shop.email AS citext CHECK (VALUE ~ '^[^@]+@[^@]+$') NOT NULL;
CREATE DOMAIN shop.percent AS numeric(5,2) DEFAULT 0 CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE shop.pair AS (a integer, b text COLLATE "C");
CREATE TYPE shop.floatrange AS RANGE (subtype = float8);
CREATE SEQUENCE shop.counter AS integer INCREMENT 5 MAXVALUE 1000 CYCLE;
CREATE TABLE public.alembic_version (version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE shop.customers (
 id bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 2) PRIMARY KEY,
 mail shop.email, name varchar(80) COLLATE "C" NOT NULL DEFAULT 'nobody', mood shop.mood DEFAULT 'happy',
 status varchar(10) NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'old', 'it''s (gone)')),
 kind char(3) CHECK (kind NOT IN ('abc', 'def')), tags text[] DEFAULT '{}', data jsonb DEFAULT '{"a": "b :c %s"}',
 price numeric(10,2) DEFAULT 0, qty integer DEFAULT 1, neg integer DEFAULT -1,
 total numeric GENERATED ALWAYS AS (price * qty) STORED, half numeric GENERATED ALWAYS AS (price / 2) VIRTUAL,
 created timestamptz NOT NULL DEFAULT now(), span interval DEFAULT interval '1 day',
 parent bigint REFERENCES shop.customers(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
 CONSTRAINT sane CHECK (qty BETWEEN 1 AND 10 AND price >= 0 AND (price < 1000 OR status = 'old')),
 CONSTRAINT nested CHECK (qty > 0 OR (price BETWEEN 1 AND 2) OR neg IN (1,2,3)),
 CONSTRAINT "never" EXCLUDE USING gist (qty WITH =, created WITH =) WHERE (status <> 'old'));
ALTER TABLE shop.customers ADD COLUMN gone int; ALTER TABLE shop.customers DROP COLUMN gone;
ALTER TABLE shop.customers ADD COLUMN late text; ALTER TABLE shop.customers ADD CONSTRAINT late_ok CHECK (late = ANY (ARRAY['x','y'])) NOT VALID;
CREATE INDEX customers_lower ON shop.customers (lower(name), qty DESC NULLS LAST) WHERE status IN ('new', 'old');
CREATE INDEX customers_trgm ON shop.customers USING gin (name shop.gin_trgm_ops) WITH (fastupdate = off);
CREATE UNIQUE INDEX ON shop.customers (mail) INCLUDE (name) NULLS NOT DISTINCT;
CREATE TABLE shop.measures (id int NOT NULL, at date NOT NULL, v float8, customer bigint REFERENCES shop.customers(id), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.measures_2025 PARTITION OF shop.measures FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.measures_old (v float8, id int NOT NULL, at date NOT NULL, customer bigint CONSTRAINT oddname REFERENCES shop.customers(id), CONSTRAINT old_pk PRIMARY KEY (id, at));
ALTER TABLE shop.measures ATTACH PARTITION shop.measures_old FOR VALUES FROM ('2020-01-01') TO ('2025-01-01');
CREATE TABLE shop.measures_rest PARTITION OF shop.measures DEFAULT PARTITION BY LIST (id);
CREATE TABLE shop.measures_rest_1 PARTITION OF shop.measures_rest FOR VALUES IN (1,2,3);
CREATE INDEX measures_v ON shop.measures (v);
CREATE TABLE shop.base (a int, b text CHECK (b <> '')); CREATE TABLE shop.derived (c int) INHERITS (shop.base);
CREATE UNLOGGED TABLE "Odd ""Name"."select" ("from" int, "a.b" text, "q""uote" text);
CREATE TABLE public.no_columns ();
CREATE VIEW shop.active AS SELECT c.*, m.v FROM shop.customers c LEFT JOIN shop.measures m ON m.customer = c.id WHERE c.status IN ('new', 'old') AND c.qty BETWEEN 1 AND 5 AND c.neg NOT IN (7, 8);
CREATE VIEW shop.recursive_v WITH (security_barrier) AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n, 'x' AS lit FROM t;
CREATE MATERIALIZED VIEW shop.totals AS SELECT status, count(*) AS n, sum(total) AS s FROM shop.customers WHERE kind IN ('a', 'b') GROUP BY status WITH NO DATA;
CREATE UNIQUE INDEX totals_status ON shop.totals (status);
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = shop AS $$
BEGIN
COPY foo FROM stdin;
  NEW.created := now(); RETURN NEW;
END $$;
CREATE FUNCTION shop.twice(x integer, y text DEFAULT 'a') RETURNS integer LANGUAGE sql IMMUTABLE STRICT BEGIN ATOMIC SELECT x * 2; END;
CREATE PROCEDURE shop.run() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE shop.mysum(integer) (sfunc = int4pl, stype = integer, initcond = '0');
CREATE TRIGGER touch BEFORE UPDATE OF name ON shop.customers FOR EACH ROW WHEN (OLD.status IN ('new', 'old')) EXECUTE FUNCTION shop.touch();
CREATE TRIGGER touch2 AFTER INSERT ON shop.measures FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.customers DISABLE TRIGGER touch;
CREATE RULE no_delete AS ON DELETE TO shop.base DO INSTEAD NOTHING;
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shop.customers FOR SELECT TO PUBLIC USING (name = current_user AND status IN ('new','old'));
CREATE STATISTICS shop.stx (dependencies) ON qty, neg FROM shop.customers;
CREATE OPERATOR shop.=== (leftarg = int, rightarg = int, function = int4eq);
CREATE TABLE shop.usesop (a int CHECK (a OPERATOR(shop.===) 5));
CREATE CAST (shop.pair AS text) WITH INOUT;
CREATE COLLATION shop.coll (provider = libc, locale = 'C');
CREATE FUNCTION shop.evt() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER evt ON ddl_command_end EXECUTE FUNCTION shop.evt();
CREATE PUBLICATION pub FOR TABLE shop.customers;
ALTER TABLE shop.base REPLICA IDENTITY FULL;
COMMENT ON TABLE shop.customers IS 'people';
ALTER TABLE shop.base ADD CONSTRAINT nn NOT NULL a NOT VALID;
ALTER TABLE shop.measures_2025 SET (fillfactor = 70, autovacuum_enabled = off);
CREATE TABLE shop.mix (a int, b int, t varchar, CHECK ((a BETWEEN 1 AND 2 AND b > 0) OR (b BETWEEN 3 AND 4 AND (a = 1 AND b = 2))), CHECK (a > 0 AND (b > 0 AND t IN ('x', 'y'))), CHECK (t <> ALL (ARRAY['x']::varchar[]) OR t = 'x' OR (t = 'y' OR t = 'z')), CHECK (t NOT LIKE '%x%' AND NOT (a BETWEEN 1 AND 2)), CHECK (a BETWEEN SYMMETRIC 1 AND 5));
CREATE TEXT SEARCH DICTIONARY shop.words (TEMPLATE = pg_catalog.simple, stopwords = english);
CREATE TEXT SEARCH CONFIGURATION shop.searched (COPY = pg_catalog.simple); ALTER TEXT SEARCH CONFIGURATION shop.searched ALTER MAPPING FOR word, asciiword WITH shop.words, simple;
CREATE DOMAIN shop.code AS text COLLATE "C"; CREATE RULE quiet AS ON DELETE TO shop.usesop DO ALSO NOTHING; ALTER TABLE shop.usesop DISABLE RULE quiet;
