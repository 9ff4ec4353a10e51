"""What lies beside the rows in each archive, for whoever must restore it without us."""

README = b"""\
This is a backup of a MariaDB database, made by dbmigration-operator with mariadb-dump.

Restore it into a database that was made for that, never into one that is in use:

    mariadb --execute='CREATE DATABASE shop_restored CHARACTER SET ... COLLATE ...'
    set -o pipefail
    tar --extract --to-stdout --file=BACKUP.sql.tar --wildcards '*.sql.zst' | zstd --decompress --stdout \\
      | mariadb --default-character-set=utf8mb4 --max-allowed-packet=1G shop_restored && echo restored

The manifest beside the backup names character set and collation, definers, and the number of rows of every table.
Faster, where the machine has several processors: load 1-tables.sql.zst first, then the pieces in 2-rows at the same time,
then 3-keys.sql.zst and 4-programs.sql.zst. 5-events.sql.zst has the server run events by itself: load it when the application may run.

6-end.json is the last thing in a whole file. Where it is missing, the file was cut.
"""
