# syntax=docker/dockerfile:1
# One target for each unit: `docker build --target gateway|enclave|model-build .`
# The steps of each target are plain pip and copies, so that they can be repeated without Docker.

FROM python:3.11.14-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN groupadd --gid 10001 blindsight \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin blindsight \
    && install -d -o 10001 -g 10001 -m 0700 /state \
    && install -d -o 10001 -g 10001 -m 0755 /policy
WORKDIR /app
COPY pyproject.toml requirements.txt README.md ./

# ---- gateway: no image decoder, no model, no keys ------------------------------------------------------------------
FROM base AS gateway
COPY blindsight blindsight
COPY gateway gateway
RUN pip install --constraint requirements.txt '.[gateway]' && rm -rf build
USER 10001:10001
# Inside a container the listener faces the container's network, so tokens are required: BLINDSIGHT_TOKENS_FILE.
ENV BLINDSIGHT_HOST=0.0.0.0 BLINDSIGHT_METRICS_HOST=0.0.0.0
EXPOSE 8000 8443 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]

# ---- enclave: the runtime; the bundle is mounted, or copied by a derived image ---------------------------------------
FROM base AS enclave
COPY blindsight blindsight
COPY enclave_runtime enclave_runtime
RUN pip install --constraint requirements.txt '.[enclave]' && rm -rf build
USER 10001:10001
VOLUME ["/state"]
EXPOSE 7500
ENTRYPOINT ["python", "-m", "enclave_runtime"]
CMD ["serve", "--host", "0.0.0.0", "--bundle", "/state/function.zip", "--state", "/state/enclave"]

# ---- model-build: torch, to make a model directory and a bundle, once ------------------------------------------------
FROM base AS model-build
RUN pip install --constraint requirements.txt --extra-index-url https://download.pytorch.org/whl/cpu \
    torch==2.13.0 torchvision==0.28.0
COPY blindsight blindsight
COPY model_build model_build
COPY enclave_function enclave_function
COPY enclave_runtime enclave_runtime
RUN pip install --constraint requirements.txt '.[build,enclave]' && rm -rf build
USER 10001:10001
ENV BLINDSIGHT_CACHE=/state/cache
VOLUME ["/state"]
ENTRYPOINT ["python", "-m", "model_build"]
CMD ["build", "--out", "/state/model"]
