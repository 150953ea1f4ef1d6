# The service as an image: built in one stage, run in another that holds the program, root certificates and no more.

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /build
# Dependencies first, so that a change of our own code does not compile them again.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
# Only because the manifest names them.
COPY benches benches
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY migrations migrations
COPY leadrelay.toml ./
COPY src src
# Copied files may be older than what was compiled in their place.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked \
    && mkdir /out && strip --strip-debug -o /out/leadrelay target/release/leadrelay

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 leadrelay \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin leadrelay \
    && install -d -o leadrelay -g leadrelay -m 0750 /data
COPY --from=build /out/leadrelay /usr/local/bin/leadrelay
ENV LEADRELAY_CONFIG=/etc/leadrelay/leadrelay.toml LEADRELAY_LOG_FORMAT=json
# Where a relative `store.url` begins.
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["leadrelay", "health"]
ENTRYPOINT ["leadrelay"]
CMD ["serve"]
