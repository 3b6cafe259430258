# Image of the standalone server: docker build --tag falcon-events . ; docs/self-hosting.md says how to run it.
FROM python:3.13.15-slim-bookworm@sha256:ed86c82274b3c69b52fb5820f358f0bd7df0b603332063cb5c6e32bd220c3e6e AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY jsonschemas ./jsonschemas
COPY falcon_events ./falcon_events
RUN python -m venv /opt/falcon-events \
    && /opt/falcon-events/bin/pip install --no-cache-dir '.[standard,limits,metrics,deliver]' \
    && /opt/falcon-events/bin/pip uninstall --yes pip setuptools

FROM python:3.13.15-slim-bookworm@sha256:ed86c82274b3c69b52fb5820f358f0bd7df0b603332063cb5c6e32bd220c3e6e
RUN groupadd --gid 10001 falcon-events \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin falcon-events \
    && install --directory --owner=falcon-events --group=falcon-events --mode=0700 /data
COPY --from=build /opt/falcon-events /opt/falcon-events
ENV PATH=/opt/falcon-events/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    FALCON_EVENTS_DB=/data/events.duckdb
# A number, so that container runtimes can check that the user is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["falcon-events", "health", "--timeout", "8"]
ENTRYPOINT ["falcon-events"]
CMD ["serve", "--host", "0.0.0.0"]
