# A node in a container: docker build --build-arg BASE=node:22-slim -t vouch . (BASE: any image with Node, npm and glibc)
# Run it with the task modules mounted, for example:
#   docker run -v "$PWD/payments.ts:/vouch/payments.ts:ro" -e KAFKA_BROKERS=... -e ZOOKEEPER_CONNECT=... \
#     -e VOUCH_PEER_LISTEN=0.0.0.0:7400 -e VOUCH_INSECURE=true -e VOUCH_HTTP_LISTEN=0.0.0.0:7480 vouch run payments.ts
ARG BASE=node:22-slim

FROM ${BASE} AS packages
WORKDIR /vouch
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev

FROM ${BASE}
WORKDIR /vouch
# Task modules import "vouch" from here; their own packages go into an image of yours, built on this one.
COPY --from=packages /vouch/node_modules node_modules
COPY package.json bunfig.toml tsconfig.json node.ts ./
COPY native-ish native-ish
COPY src src
ENV PATH="/vouch/node_modules/.bin:${PATH}"
# By number, so that no base image must know the name.
USER 10001:10001
EXPOSE 7400 7480
# No shell between: SIGTERM reaches the node, and the node drains (drainTimeoutMs, 30 s: give it that long to stop).
ENTRYPOINT ["bun", "run", "node.ts"]
CMD ["--help"]
