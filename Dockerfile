# Two images of a node, from the same sources:
#   docker build --target executable -t vouch .       one file on a small base; the default
#   docker build --target sources    -t vouch-bun .   `bun run node.ts`, readable and patchable
# Both take the same commands and the same environment. Task modules are mounted below /tasks, with the node_modules folder
# that they need beside them; the embedded log and coordinator live in the volume /data. The root may be read-only.
#   docker run --read-only -v "$PWD:/tasks:ro" -v vouch:/data vouch run payments.ts --single-node

# To build with: Node, npm, a shell and glibc.
ARG BUILD_BASE=node:22-bookworm-slim
# To run on: glibc is enough for both images.
ARG BASE=debian:bookworm-slim

FROM ${BUILD_BASE} AS packages
WORKDIR /vouch
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev
# What the images get of folders: the volume belongs to the user that the node runs as.
RUN mkdir -p /folders/data /folders/tasks && chown 10001:10001 /folders/data

FROM packages AS build
COPY bunfig.toml tsconfig.json node.ts ./
COPY native-ish native-ish
COPY src src
COPY scripts scripts
# The commit for `vouch --version`; git's folder is not part of the build.
ARG COMMIT=
RUN COMMIT=${COMMIT} node_modules/.bin/bun run build

FROM ${BASE} AS sources
COPY --from=packages /vouch/node_modules /vouch/node_modules
COPY package.json bunfig.toml tsconfig.json node.ts /vouch/
COPY native-ish /vouch/native-ish
COPY src /vouch/src
COPY --from=packages /folders /
ENV PATH="/vouch/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" VOUCH_DATA_DIR=/data
WORKDIR /tasks
# By number, so that no base image must know the name.
USER 10001:10001
VOLUME /data
EXPOSE 7400 7480
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["bun", "run", "/vouch/node.ts", "health"]
# No shell between: SIGTERM reaches the node, and the node drains (drainTimeoutMs, 30 s: give it that long to stop).
STOPSIGNAL SIGTERM
ENTRYPOINT ["bun", "run", "/vouch/node.ts"]
CMD ["--help"]

FROM ${BASE} AS executable
COPY --from=build /vouch/dist/vouch /usr/local/bin/vouch
COPY --from=packages /folders /
ENV VOUCH_DATA_DIR=/data
WORKDIR /tasks
USER 10001:10001
VOLUME /data
EXPOSE 7400 7480
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["/usr/local/bin/vouch", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/vouch"]
CMD ["--help"]
