# hanbit with everything it needs: the same scripts as on a machine.
#   docker build -t hanbit .
#   docker run --rm -v "$PWD/build:/hanbit/build" hanbit
# Containers may not mount by default: setup then takes the unpacked tools (flow/setup/patched.sh).
FROM debian:12

RUN apt-get update && apt-get install --yes --no-install-recommends \
      ca-certificates git make python3 python3-venv

WORKDIR /hanbit
COPY . .
# TORCH_INDEX: an index with torch's CPU build; without it torch's CUDA build is installed.
ARG TORCH_INDEX
RUN make setup && rm -rf /root/.cache

CMD ["make", "demo"]
