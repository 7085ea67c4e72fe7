# syntax=docker/dockerfile:1
# One target for each unit: `docker build --target gateway|enclave|commands|model-build .`
# The steps of each target are plain pip and copies, so that they can be repeated without Docker. Packages are locked by
# hash. The base image goes by its exact tag; `python tools/pin_base_images.py` writes
# its digest here, where the registry can be reached.

FROM python:3.11.14-slim-bookworm AS base
ARG REVISION=unknown
LABEL org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Blindsight" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.14-slim-bookworm"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN groupadd --gid 10001 blindsight \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin blindsight \
    && install -d -o 10001 -g 10001 -m 0700 /state /gateway-secret \
    && install -d -o 10001 -g 10001 -m 0755 /policy \
        /secrets /secrets/gateway /secrets/postgres /secrets/redis /secrets/grafana
WORKDIR /app
ENV PYTHONPATH=/app

# ---- gateway: no image decoder, no model, no keys ------------------------------------------------------------------
FROM base AS gateway
LABEL org.opencontainers.image.title="Blindsight gateway" \
      org.opencontainers.image.description="Web gateway of confidential image classification: no image decoder, no model, no keys"
COPY requirements/gateway.txt requirements/gateway.txt
RUN pip install --require-hashes --no-deps --requirement requirements/gateway.txt
COPY blindsight blindsight
COPY gateway gateway
USER 10001:10001
# Inside a container the listener faces the container's network, so tokens are required: BLINDSIGHT_TOKENS_FILE.
ENV BLINDSIGHT_HOST=0.0.0.0 BLINDSIGHT_METRICS_HOST=0.0.0.0
EXPOSE 8000 8443 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]

# ---- enclave: the runtime; the bundle is mounted, or copied by a derived image ---------------------------------------
# For containers, with SIMULATED evidence, which proves nothing about the host. No image of a Nitro enclave: such a one
# has no simulator in it (`python -m enclave_runtime files` lists what it has) and starts with --evidence nsm.
FROM base AS enclave
LABEL org.opencontainers.image.title="Blindsight enclave" \
      org.opencontainers.image.description="Enclave runtime with SIMULATED evidence, which proves nothing about the host"
COPY requirements/enclave.txt requirements/enclave.txt
RUN pip install --require-hashes --no-deps --requirement requirements/enclave.txt
# The core alone: the caller's side is no part of an enclave.
COPY blindsight/*.py blindsight/
COPY blindsight/attestation blindsight/attestation
COPY blindsight/errors blindsight/errors
COPY blindsight/cape blindsight/cape
COPY blindsight/sealing blindsight/sealing
COPY blindsight/wire blindsight/wire
COPY enclave_runtime enclave_runtime
RUN rm blindsight/files.py
USER 10001:10001
VOLUME ["/state"]
EXPOSE 7500
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-I", "-c", "import socket; socket.create_connection(('127.0.0.1', 7500), 2).close()"]
# By its path: `python -m` would believe compiled files of the first modules, which nothing measures.
ENTRYPOINT ["python", "-I", "-S", "-B", "/app/enclave_runtime/boot.py", "enclave_runtime.commands"]
CMD ["serve", "--listen", "tcp://0.0.0.0:7500", "--bundle", "/state/function.zip", "--state", "/state/enclave"]

# ---- enclave-classifier: the same without Cape's code, for those who only classify; "policy --variant classifier" -----
# Evidence is SIMULATED here, too.
FROM base AS enclave-classifier
LABEL org.opencontainers.image.title="Blindsight enclave without Cape" \
      org.opencontainers.image.description="Enclave runtime without Cape's code, with SIMULATED evidence"
COPY requirements/enclave.txt requirements/enclave.txt
RUN pip install --require-hashes --no-deps --requirement requirements/enclave.txt
COPY blindsight/*.py blindsight/
COPY blindsight/attestation blindsight/attestation
COPY blindsight/errors blindsight/errors
COPY blindsight/sealing blindsight/sealing
COPY blindsight/wire blindsight/wire
COPY enclave_runtime enclave_runtime
RUN rm -r blindsight/files.py blindsight/wire/cape.py enclave_runtime/cape
USER 10001:10001
VOLUME ["/state"]
EXPOSE 7500
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-I", "-c", "import socket; socket.create_connection(('127.0.0.1', 7500), 2).close()"]
ENTRYPOINT ["python", "-I", "-S", "-B", "/app/enclave_runtime/boot.py", "enclave_runtime.commands"]
CMD ["serve", "--variant", "classifier", "--listen", "tcp://0.0.0.0:7500", "--bundle", "/state/function.zip", "--state", "/state/enclave"]

# ---- commands: client and commands, as in the wheel ------------------------------------------------------------------
FROM base AS commands
LABEL org.opencontainers.image.title="Blindsight commands" \
      org.opencontainers.image.description="Client and commands of confidential image classification"
COPY requirements/client.txt requirements/client.txt
RUN pip install --require-hashes --no-deps --requirement requirements/client.txt
COPY blindsight blindsight
COPY blindsight_cli blindsight_cli
USER 10001:10001
VOLUME ["/state"]
ENTRYPOINT ["python", "-m", "blindsight_cli.main"]

# ---- model-build: torch, to make a model directory and a bundle, once ------------------------------------------------
FROM base AS model-build
LABEL org.opencontainers.image.title="Blindsight model build" \
      org.opencontainers.image.description="Makes model directories and function bundles"
COPY requirements/torch.txt requirements/model-build.txt requirements/
# Of that index torch alone is wanted: a package of another name there would go before PyPI's.
RUN pip install --index-url https://download.pytorch.org/whl/cpu --require-hashes --no-deps \
      --requirement requirements/torch.txt \
    && pip install --require-hashes --no-deps --requirement requirements/model-build.txt
COPY blindsight blindsight
COPY model_build model_build
COPY enclave_function enclave_function
COPY enclave_runtime enclave_runtime
USER 10001:10001
ENV BLINDSIGHT_CACHE=/state/cache
VOLUME ["/state"]
ENTRYPOINT ["python", "-m", "model_build"]
CMD ["build", "--out", "/state/model"]
