# Two commands on a fresh Debian or Ubuntu machine that has a Rust toolchain; each does its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.ONESHELL:
.DEFAULT_GOAL := help

# Where the app is. Empty: the demo app is started on DEMO, and stopped again with the sidecar.
UPSTREAM ?=
DEMO ?= 127.0.0.1:3000
# Where the sidecar listens. Empty: as proxy.toml says.
LISTEN ?=
CONFIG ?= proxy.toml

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Installs Debian packages, or says what is missing where that is not possible.
INSTALL = install() { \
	if ! command -v apt-get >/dev/null; then echo "please install: $$*" >&2; exit 1; fi; \
	echo "installing $$*"; \
	$(SUDO) apt-get update -qq >/dev/null && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@" >/dev/null; \
	}

# Real apps and clients for the tests.
APPS := target/apps
APPS_INSTALLED := $(foreach app,django express vite clients openapi prometheus postgres queries_python queries_node,$(APPS)/$(app)/.installed)

FUZZ := statement otlp

.PHONY: help run test fuzz conformance bench bench-profile build-tools app-tools codec-tools bench-tools

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1: /'
	echo "  make run UPSTREAM=http://127.0.0.1:8000: the same, before an app of yours"

run: build-tools ## Builds Pacecar and starts it before its demo app
	@$(CARGO) build --locked --profile quick
	bin=target/quick/pacecar
	pipes=$$(mktemp -d)
	mkfifo "$$pipes/demo" "$$pipes/pacecar"
	demo= pacecar=
	# In a group of its own: Ctrl-C reaches this shell alone, and each job is told to stop exactly once.
	start() {
		local output=$$1
		shift
		set -m
		"$$bin" "$$@" >"$$output" </dev/null &
		set +m
	}
	stop() {
		# Told again, it would end before those that it waits for.
		trap - EXIT
		trap '' INT TERM
		for job in $$pacecar $$demo; do
			kill -TERM "$$job" 2>/dev/null || true
			wait "$$job" 2>/dev/null || true
		done
		rm -rf "$$pipes"
	}
	trap stop EXIT
	trap 'exit 0' INT TERM
	upstream="$(UPSTREAM)"
	if [ -z "$$upstream" ]; then
		start "$$pipes/demo" demo --listen $(DEMO)
		demo=$$!
		exec 3<"$$pipes/demo"
		if ! read -r line <&3; then
			echo "The demo app did not start. Another port: make run DEMO=127.0.0.1:3001" >&2
			exit 1
		fi
		echo "$$line"
		upstream="http://$(DEMO)"
	fi
	start "$$pipes/pacecar" --config $(CONFIG) --upstream "$$upstream" $(if $(LISTEN),--listen $(LISTEN))
	pacecar=$$!
	exec 4<"$$pipes/pacecar"
	front= admin=
	while read -r line <&4; do
		echo "$$line"
		case "$$line" in
			"pacecar: listening on http://"*) front=$${front:-$${line#*on }} ;;
			"pacecar: admin on "*) admin=$${line#*on } ;;
			"pacecar: ready") break ;;
		esac
	done
	if [ -z "$$front" ]; then
		echo "Pacecar did not start. Another port: make run LISTEN=127.0.0.1:8081" >&2
		exit 1
	fi
	printf '\nTry, twice each (Ctrl-C stops everything):\n'
	echo "  curl -i $$front/"
	echo "  curl -s -o /dev/null -D - $$front/slow"
	echo "  curl -s $$admin/performance/cache/stats"
	cat <&4 &
	wait "$$pacecar"

test: build-tools codec-tools $(APPS_INSTALLED) ## Runs everything that CI runs
	@$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(CARGO) test --locked

# Seconds for each of the targets under fuzz/targets. What is found is kept in target/fuzz, and goes on from there.
SECONDS_EACH ?= 60

# Sanitizers are what the compiler calls unstable, hence RUSTC_BOOTSTRAP.
fuzz: build-tools ## Feeds the readers of statements and spans any bytes (SECONDS_EACH=60)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	for target in $(FUZZ); do
		mkdir -p target/fuzz/$$target
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --target-dir target/fuzz-build $$target target/fuzz/$$target $$(ls -d tests/data/$$target 2>/dev/null) -- \
			-max_total_time=$(SECONDS_EACH) -rss_limit_mb=4096 -timeout=10
	done

# The public suite behind cache-tests.fyi, as of this commit. It is fetched from GitHub, which is why `make test` goes
# without it. With CACHE_TESTS=DIR, a checkout that is there already.
CACHE_TESTS ?= target/cache-tests
CACHE_TESTS_COMMIT := b55b8bda3dbb8c927c04e85bd8d496a8caa3e4ba
RUNS ?= 3

conformance: build-tools app-tools ## Runs the public HTTP caching suite (RUNS=3)
	@if [ ! -e $(CACHE_TESTS)/package.json ]; then
		git init -q $(CACHE_TESTS)
		git -C $(CACHE_TESTS) fetch -q --depth 1 https://github.com/http-tests/cache-tests $(CACHE_TESTS_COMMIT)
		git -C $(CACHE_TESTS) checkout -q FETCH_HEAD
	fi
	[ -e $(CACHE_TESTS)/node_modules ] || (cd $(CACHE_TESTS) && npm install --ignore-scripts --no-audit --no-fund --loglevel=error)
	$(CARGO) build --locked --profile quick
	node tests/conformance.mjs $(CACHE_TESTS) target/quick/pacecar $(RUNS)

# Real pages, data, scripts and styles: package, version, path in it, and the name that the benches show.
CORPUS := target/bench-corpus
CORPUS_FILES := \
	mdn-data@2.12.2,css/functions.json,functions.json \
	world-atlas@2.0.2,countries-110m.json,countries-110m.json \
	mdn-data@2.12.2,css/properties.json,properties.json \
	html5-boilerplate@9.0.1,dist/index.html,index.html \
	reveal.js@5.1.0,demo.html,demo.html \
	npm@10.9.0,docs/output/using-npm/config.html,config.html \
	jquery@3.7.1,dist/jquery.min.js,jquery.min.js \
	react-dom@19.0.0,cjs/react-dom-client.production.js,react-dom.js \
	bootstrap@5.3.8,dist/css/bootstrap.min.css,bootstrap.min.css
ROUNDS ?= 11

bench: build-tools bench-tools $(CORPUS)/.complete ## Measures the codings, and nginx beside them (ROUNDS=11)
	@python3 benches/nginx.py $(CORPUS) $(ROUNDS)
	$(CARGO) bench --locked --bench compression

bench-profile: build-tools ## Measures what profiling costs of a hit and of a miss (ROUNDS=7)
	@$(CARGO) bench --locked --bench profile -- $(ROUNDS)

$(CORPUS)/.complete: $(firstword $(MAKEFILE_LIST)) | bench-tools
	@rm -rf $(CORPUS)
	mkdir -p $(CORPUS)
	packed=$$(mktemp -d)
	trap 'rm -rf "$$packed"' EXIT
	for file in $(CORPUS_FILES); do
		IFS=, read -r package path name <<<"$$file"
		[ -e "$$packed/$$package.tgz" ] || mv "$$packed/$$(cd "$$packed" && npm pack --silent "$$package")" "$$packed/$$package.tgz"
		tar -xzOf "$$packed/$$package.tgz" "package/$$path" >"$(CORPUS)/$$name"
	done
	touch $@

# Debian starts nginx as a service, too, where there are services.
bench-tools:
	@$(INSTALL)
	command -v python3 >/dev/null || install python3
	command -v npm >/dev/null || install nodejs npm
	command -v nginx >/dev/null || install nginx

# pingora compiles C code, and Rust links with the C compiler.
build-tools:
	@$(INSTALL)
	command -v cmake >/dev/null || install cmake
	command -v cc >/dev/null || install build-essential

# Decoders of others, which the tests of ours are held against.
codec-tools:
	@$(INSTALL)
	command -v python3 >/dev/null || install python3
	command -v gzip >/dev/null || install gzip
	command -v brotli >/dev/null || install brotli
	command -v zstd >/dev/null || install zstd

# What the real apps and clients of the tests stand on.
app-tools:
	@$(INSTALL)
	command -v python3 >/dev/null || install python3
	python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
	command -v curl >/dev/null || install curl
	command -v node >/dev/null || install nodejs
	command -v npm >/dev/null || install npm
	command -v chromium >/dev/null || install chromium
	if [ "$$(node -p 'parseInt(process.versions.node)')" -lt 18 ]; then
		echo "Node.js $$(node --version) is too old for the tests: please install 18 or later" >&2
		exit 1
	fi

# Each app and the clients have a folder of their own, which `cargo clean` removes. Its stamp holds the list of packages
# that was installed, so that a new checkout with the same list installs nothing.
UNCHANGED = if cat $^ | cmp -s - $@; then touch $@; exit; fi; echo "installing $(1) under $(@D)"; rm -rf $(@D); mkdir -p $(@D)
PIP_INSTALL = python3 -m venv $(@D)/venv; $(@D)/venv/bin/pip install --quiet --disable-pip-version-check
# No package's own scripts run: none of them needs to.
NPM_INSTALL = npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null

$(APPS)/django/.installed $(APPS)/openapi/.installed: $(APPS)/%/.installed: tests/apps/%/requirements.txt | app-tools
	@$(call UNCHANGED,what stands in $<)
	$(PIP_INSTALL) -r $<
	cat $^ >$@

# Its list is complete: pip looks for no versions that fit together, which took it minutes.
$(APPS)/queries_python/.installed: tests/apps/queries_python/requirements.txt | app-tools
	@$(call UNCHANGED,what stands in $<)
	$(PIP_INSTALL) --no-deps -r $<
	cat $^ >$@

$(APPS)/express/.installed $(APPS)/vite/.installed $(APPS)/queries_node/.installed: $(APPS)/%/.installed: \
		tests/apps/%/package-lock.json tests/apps/%/package.json | app-tools
	@$(call UNCHANGED,$*)
	cp $^ $(@D)
	(cd $(@D) && $(NPM_INSTALL))
	cat $^ >$@

$(APPS)/clients/.installed: tests/apps/clients/package-lock.json tests/apps/clients/package.json \
		tests/apps/clients/requirements.txt | app-tools
	@$(call UNCHANGED,HTTP clients)
	cp $^ $(@D)
	(cd $(@D) && $(NPM_INSTALL))
	$(PIP_INSTALL) -r $(@D)/requirements.txt
	cat $^ >$@

# Debian's package, unpacked and not installed: that would start a server of its own on this machine. Elsewhere, what is
# there already.
$(APPS)/prometheus/.installed:
	@echo "unpacking Prometheus under $(@D)"
	rm -rf $(@D)
	mkdir -p $(@D)/usr/bin
	if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
		ln -s "$$(command -v prometheus)" "$$(command -v promtool)" $(@D)/usr/bin
	elif command -v apt-get >/dev/null; then
		download() { (cd $(@D) && apt-get download -qq -o APT::Sandbox::User=root prometheus >/dev/null); }
		download 2>/dev/null || { $(SUDO) apt-get update -qq >/dev/null && download; }
		dpkg-deb -x $(@D)/prometheus_*.deb $(@D)
		rm $(@D)/prometheus_*.deb
	else
		echo "please install: prometheus" >&2
		exit 1
	fi
	$(@D)/usr/bin/promtool --version >$@

# PostgreSQL with hypopg, unpacked like Prometheus: installing it would start a cluster on this machine. `bin` is where
# its programs are. The libraries that they stand on are installed where they are missing, but for the compiler of JIT,
# which the tests switch off; the time zones are those of the system.
$(APPS)/postgres/.installed:
	@echo "unpacking PostgreSQL under $(@D)"
	rm -rf $(@D)
	mkdir -p $(@D)
	$(INSTALL)
	if command -v apt-get >/dev/null; then
		package() { apt-cache depends postgresql 2>/dev/null | sed -nE 's/^ *Depends: (postgresql-[0-9]+)$$/\1/p'; }
		[ -n "$$(package)" ] || $(SUDO) apt-get update -qq >/dev/null
		package=$$(package)
		download() { (cd $(@D) && apt-get download -qq -o APT::Sandbox::User=root "$$package" "$$package-hypopg" >/dev/null); }
		download 2>/dev/null || { $(SUDO) apt-get update -qq >/dev/null && download; }
		for archive in $(@D)/*.deb; do dpkg-deb -x "$$archive" $(@D); done
		rm -r $(@D)/*.deb $(@D)/usr/lib/postgresql/*/lib/{bitcode,llvmjit*} $(@D)/usr/share/{doc,locale}
		ln -s "usr/lib/postgresql/$${package#postgresql-}/bin" $(@D)/bin
		libraries=$$(apt-cache depends "$$package" | sed -nE 's/^ *Depends: (lib[^ ]+)$$/\1/p' | grep -v '^libllvm')
		if ldd $(@D)/bin/postgres $(@D)/bin/initdb | grep -q 'not found'; then install $$libraries; fi
		[ -e /usr/share/zoneinfo/UTC ] || install tzdata
	elif command -v pg_config >/dev/null && [ -e "$$(pg_config --sharedir)/extension/hypopg.control" ]; then
		ln -s "$$(pg_config --bindir)" $(@D)/bin
	else
		echo "please install: PostgreSQL, hypopg" >&2
		exit 1
	fi
	if ldd $(@D)/bin/postgres $(@D)/bin/initdb | grep 'not found' >&2; then
		echo "PostgreSQL cannot run without these libraries: please install them" >&2
		exit 1
	fi
	$(@D)/bin/postgres --version >$@
