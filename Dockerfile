# The build stage has pip and the sources; the image that runs has neither, only the finished environment.
FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN python -m venv --without-pip /opt/rota

WORKDIR /src
# The dependencies change less often than the code: a layer of their own.
COPY requirements.txt ./
RUN pip --python /opt/rota/bin/python install --require-hashes -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
# `/guide` shows the documents and the files that they link to.
COPY deploy deploy
COPY examples examples
COPY docs docs
COPY app app
RUN pip --python /opt/rota/bin/python install --no-deps .


FROM python:3.13-slim

LABEL org.opencontainers.image.title="Rota" \
      org.opencontainers.image.description="A REST service that schedules jobs, runs them on time and keeps what happened." \
      org.opencontainers.image.licenses="MIT"

# The ids are fixed, so that the owner of a volume stays the same from image to image.
RUN groupadd --gid 10001 rota \
    && useradd --uid 10001 --gid rota --no-log-init --home-dir /data --no-create-home --shell /usr/sbin/nologin rota \
    && install --directory --owner=rota --group=rota --mode=0750 /data \
    && install --directory /handlers

COPY --from=build /opt/rota /opt/rota

# With no folders of time zones, handlers use the same ones as Rota: those of the package tzdata.
# Rota writes to /data (SQLite only) and /tmp, so the root filesystem can be read-only.
ENV PATH=/opt/rota/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONTZPATH="" \
    ROTA_DATABASE_URL=sqlite:////data/rota.db \
    ROTA_LOG_FORMAT=json

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Rota drains: it claims nothing more and lets running handlers finish. Give it 40 s (`docker run --stop-timeout 40`).
STOPSIGNAL SIGTERM

# Slim images have no curl. http.client, because urllib would go through an HTTP_PROXY.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

# For one container. With several on one PostgreSQL, migrate once and separately, as docker-compose.yml does.
CMD ["sh", "-c", "rota db upgrade && exec rota serve --host 0.0.0.0 --port 8000"]
