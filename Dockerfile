# The gateway: one program, nothing else. MCP servers over HTTP need no more; for those that are
# commands, copy the program into an image that has them.
#
#   docker build -t toolbridge .
#   docker run -p 4000:4000 -e TOOLBRIDGE_MASTER_KEY=… -e OPENAI_API_KEY=… \
#     -v $(pwd)/config.yaml:/app/config.yaml toolbridge --config /app/config.yaml

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock README.md ./
COPY src src
COPY benches benches
RUN cargo build --locked --release --no-default-features --bin toolbridge

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/toolbridge /usr/local/bin/toolbridge
RUN useradd --create-home --uid 10001 toolbridge
# Whoever is outside of the container reaches it; so it asks for a key.
ENV TOOLBRIDGE_HOST=0.0.0.0
# Where `toolbridge authorize` keeps tokens: mount a volume there.
ENV XDG_STATE_HOME=/home/toolbridge/state
WORKDIR /app
USER toolbridge
EXPOSE 4000
ENTRYPOINT ["/usr/local/bin/toolbridge"]
