"""What `dbmigration COMMAND --help` says beside the options. It must not hold anything but words."""

EXIT_CODES = """\
exit codes:
  0  Succeeded, also where nothing was pending
  2  the command line or the manifest is not valid; nothing was started
  3  Failed: somebody must decide; the report says where the database stands
  4  Cancelled
  5  interrupted; the run is open, the same command goes on with it
  6  something outside was not mended within --max-wait, or spec.suspend is set; the run is open
  7  another process works on the same resource
  8  RolledBack: the migration failed, and what it had applied was undone and verified
"""

RUN = f"""\
Runs a DatabaseMigration on this machine, as the operator does on a cluster: plan, verified backup, migrate, verify.

The steps are child processes that outlive this one. Ctrl-C stops the running step on the server in good order; the same
command then goes on where it was, also after a crash of this program or of the machine.

The database's URL is taken from --url-file or from the variable DBMIGRATION_URL. --url shows it to everybody who may list
this machine's processes, and keeps it in the shell's history.

examples:
  dbmigration run --filename shop.yaml --project . --backups /var/backups/shop
  dbmigration run --project . --config alembic.ini --backups ./backups
  dbmigration run --filename shop.yaml --project . --plan-only --sql

{EXIT_CODES}"""

CANCEL = f"""\
Ends a run on this machine that was interrupted. A migration that has begun is stopped on the server, and the database is
read. `run --restore` is given up, and --resume-command called, as long as nothing was restored, also in the midst of its
drain. A way back that has begun goes to its end; the first line says so.

The project and the URL say which run. Where it drains workloads, also --drain-command and --resume-command, and where it
has to restore a backup, --backups; the other options of `run` may stand.

{EXIT_CODES}"""

STATUS = """\
Prints how a run stands: on a cluster by NAME, on this machine without it (--project or --filename say which).

On this machine the database is not opened. Where its URL is given (DBMIGRATION_URL, --url-file or --url), it is what was run on
that one; else, with --project, what was run from that folder, on whatever database. What else is remembered by the same name is
named where it could be meant.

On a cluster the exit code says so too: 0 Ready, 3 Failed, 4 Cancelled, 8 RolledBack, 6 not at its end or not to be
read now.
On this machine it is 0 where there is something to tell, and 2 where nothing was run that is meant.
"""

WAIT = f"""\
Follows a migration on a cluster until it is Ready, Failed or Cancelled, and tells what happens meanwhile. Ended by Ctrl-C
(exit code 5) or by --timeout (6), it leaves the migration as it is.

{EXIT_CODES}"""


ROLLBACK = """\
Writes an older revision as targetRevision of a DatabaseMigration on a cluster. The operator then does the rest: it plans the
way down and says what data would go, takes a verified backup, undoes the revisions, reads the database back and compares its
schema with the one recorded before the upgrade.

--steps is resolved to a revision's id here, once, for a relative step would mean another one tomorrow.

examples:
  dbmigration rollback shop --steps 1 --allow-downgrade
  dbmigration rollback shop --to 10c

exit codes:
  0  the wish was written; `wait` follows what comes of it
  2  the command line or the kubeconfig is not valid, or the resource could not fulfil the wish; nothing was changed
  6  the API server did not answer; the message says whether anything may have been written
"""

BACKUPS = """\
Lists verified backups, newest first. With a resource's NAME: those that its status on the cluster knows, whichever of them
could be named to `restore`. With a folder (anything with a slash in it, or that is there): those whose manifests lie in it.

Where a resource is created anew, or its status was lost, the list is made again from the manifests on its volume: by the next
backup, and by every DatabaseRestore, also one that names a backup which is not there: that one changes nothing and ends with
those that are. Such a step tells of the newest that its answer has room for, about five; of how many older ones the next one
will tell is said below the list. All of them can be restored by name, whether they are listed or not. What is gone from the
volume, or is of another database, leaves the list in the same way.

On a folder the exit code is 3 where one of them is damaged. It is 6 where the API server does not answer.
"""

RESTORE = """\
The emergency, by hand: creates a DatabaseRestore, which the operator carries out, and follows it to its end. The workloads of
drain are scaled to zero, everybody else is kept out, the backup takes the database's place, and all replicas come back. The
replaced database is kept under another name.

Without --accept-data-loss it goes on only where a comparison shows that nothing was written since the backup; else nothing is
changed, and it ends with how many rows of which table would go. Afterwards nothing upgrades the database straight back: the
DatabaseMigration rests until its spec changes. Ctrl-C or --timeout leave the order as it is.

examples:
  dbmigration backups shop
  dbmigration restore shop --backup shop-7-20261123T041200Z
  dbmigration restore shop --backup shop-7-20261123T041200Z --accept-data-loss

exit codes:
  0  Succeeded: the backup is in the database's place
  2  the command line or the kubeconfig is not valid, or the order was not taken
  3  Failed: nothing was restored, or somebody must decide; the message says where the database stands
  4  Cancelled: the order was deleted before anything was done for it, or cancelled before anything was restored
  5  ended by Ctrl-C; the order, where it was given, goes on
  6  not over within --timeout, and the order goes on; or the API server did not answer before it was given
"""
