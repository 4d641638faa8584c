# Everything a contributor types. `make test` on a bare Debian 12 with Rust needs nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
CARGO ?= cargo
PREFIX ?= /usr/local
NEEDS := tests/support/needs.sh
# The same random cases each time; `make test PROPTEST_RNG_SEED=$$RANDOM` looks at others.
export PROPTEST_RNG_SEED ?= 1

.PHONY: build test soak check bench demo install fuzz-smoke netns deps rust

build: rust
	$(CARGO) build

# All tests; the last line is the sum over all of them.
test: rust deps
	@mkdir -p target
	@$(CARGO) test --no-fail-fast 2>&1 | tee target/test.log; rc=$$?; \
	awk -v root=$$((UID == 0)) -v policy=tests/policy/skips -f tests/support/closing.awk target/test.log || rc=1; \
	exit $$rc

# More of what `make test` plays; minutes for each line.
soak: rust deps
	$(CARGO) build --bin mainstay --example demo
	DIFFERENTIAL_STEPS=500 TEST_LIMIT=1200 $(CARGO) test --test netns -- effective_priority_is_keepalived_s
	HANDOVER_SEEDS=100000 $(CARGO) test --release --test elections -- versus_plain --nocapture

# Only the tests on real routers: `make netns T=v3_` runs a part of them.
netns: rust deps
	$(CARGO) build --bin mainstay --example demo
	$(CARGO) test --test netns -- $(T)

check: rust
	$(CARGO) fmt --check
	CLIPPY_CONF_DIR=tests/policy $(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items
	@if command -v cargo-deny >/dev/null; then \
		$(CARGO) deny --config tests/policy/deny.toml check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources not checked"; fi

# Against Debian's keepalived in the same run; exits non-zero if a row falls short.
bench: rust deps
	$(CARGO) bench --bench conf_speed
	$(CARGO) bench --bench versus -- $(B)

# The main job before your eyes: a failing script, a takeover, a recovery, a killed master.
demo: rust
	@$(NEEDS) demo
	@$(CARGO) build --quiet --bin mainstay --example demo
	@target/debug/examples/demo

# The program and its systemd unit; there is no configuration to install: it reads keepalived's.
install: rust
	$(CARGO) build --release
	install -D -m 0755 target/release/mainstay $(DESTDIR)$(PREFIX)/sbin/mainstay
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/|$(PREFIX)/|' conf/mainstay.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/mainstay.service

# What the fuzzers would call, over a corpus, changes of it and random input, on the stable toolchain.
# With libFuzzer: `cargo +nightly fuzz run --fuzz-dir tests/fuzz conf` (advert, ctl_frame, ...).
fuzz-smoke: rust
	@$(CARGO) test --lib -- bodies fuzz
	@FUZZ_TIMES=5 $(CARGO) test --test fuzz_smoke

# What the tests need from the distribution: installed if missing and if we are root.
deps:
	@$(NEEDS) test

rust:
	@$(NEEDS) rust "$(CARGO)"
