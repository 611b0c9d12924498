# Built once with everything, shipped with what runs.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# The `node` package is for machines with an older Node: this image has the right one.
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.ts && npm prune --omit=dev --ignore-scripts
# What never runs is 40 % of it: source maps, types, documents, and binaries for other systems.
RUN find node_modules dist -type f \( -name '*.map' -o -name '*.ts' -o -iname 'readme*' -o -iname 'changelog*' \) -delete \
  && find node_modules/classic-level/prebuilds -mindepth 1 -maxdepth 1 -not -name 'linux-*' -exec rm -r {} +

FROM node:24-bookworm-slim
ENV NODE_ENV=production DFS_DATA_DIR=/data
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
# Volumes take their owner from the folder they are mounted on.
RUN ln -s /app/dist/bin/dfs.js /usr/local/bin/dfs && ln -s /app/dist/bin/dfs-node.js /usr/local/bin/dfs-node \
  && mkdir -m 700 /data /invites && chown node:node /data /invites
USER node
VOLUME /data
EXPOSE 3000 3001
# The shell asks the API itself, since starting Node for it every few seconds takes twenty times the CPU.
HEALTHCHECK --interval=3s --timeout=5s --start-period=60s CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/3002 && printf 'GET /healthz HTTP/1.0\\r\\nHost: 127.0.0.1:3002\\r\\n\\r\\n' >&3 && grep -q '\"ok\":true' <&3"]
ENTRYPOINT ["dfs-node"]
