# factor: a PostgreSQL extension. `make`, `make install` and `make installcheck`
# work as for any PGXS extension. `make test` and `make demo` call test/run.sh and
# test/demo.sh, which install what is missing (make too, where they are called by
# themselves) and run on a private server.

EXTENSION = factor
MODULE_big = factor
DATA = $(wildcard sql/factor--*.sql)

# In reading order, from plain numerics up to the functions that SQL calls.
NUMERICS = blas distance topheap cholesky normal als_init kernel kernel_plain \
	kernel_base kernel_avx2 kernel_avx512 als als_row foldin codes codes_x86 codes_neon screen screen_x86 topall \
	eigen components losses optimizer sampling sgd_base sgd_avx2 sgd_avx512 sgd_draw \
	sgd judge metrics
RANK = vector operators topk page damage directory cache writer build insert candidates scan search \
	vacuum pack check
MODEL = number idsql idtext idrelation keysize name held query filter tables owner record catalog guard write indexes manage parallel \
	lookup cache recent tids rows gramian scan
OPTIONS = option option_kinds option_doc
TRAIN = bigarray columns source idsort idargument digest ids triples stream matrix build \
	select values read option_table options progress team crew epoch heldout \
	fit_als fit_sgd warm fit train retrain sharded \
	sharded_sources sharded_count sharded_half
SERVE = ids call predict rank idlist basket seen diversify recommend topk \
	explain foldin similar solve_state solve_options solve \
	pairfiles pairscan pairs everyone topk_all refresh refresh_sides refresh_solve map svg picture
EVALUATE = holdout roster biases panel ranker judging evaluate \
	grid trial trial_table tune
OBJS = $(NUMERICS:%=src/numerics/%.o) \
	$(RANK:%=src/rank/%.o) \
	$(MODEL:%=src/model/%.o) \
	$(OPTIONS:%=src/options/%.o) \
	$(TRAIN:%=src/train/%.o) \
	$(SERVE:%=src/serve/%.o) \
	$(EVALUATE:%=src/evaluate/%.o) \
	src/factor.o

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=factor
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=factor
PROVE_TESTS = test/t/*.pl

# Contraction to fused multiply-add is left to code that asks for it, so that
# one source gives one result on every processor of a kind. Nothing looks at
# errno after sqrt(), which would keep loops with one from being vectorised.
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -O3 -ffp-contract=off -fno-math-errno
SHLIB_LINK = -ldl -lm

# `make WERROR=1` turns warnings into errors.
ifdef WERROR
PG_CFLAGS += -Werror
endif

# `make SANITIZE=1` builds with the address and undefined-behaviour sanitizers. The
# server has to be started with their library preloaded; test/run.sh does that.
SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=undefined
ifdef SANITIZE
PG_CFLAGS += -O1 -g -fno-omit-frame-pointer -fno-var-tracking-assignments $(SANITIZERS)
SHLIB_LINK += $(SANITIZERS)
endif

# No JIT bitcode: nothing here gains from inlining, and it would need clang.
override with_llvm = no

PG_CONFIG ?= pg_config

# PGXS is left out where only `test` or `demo` is asked for: they install it.
ifneq ($(filter-out test demo,$(or $(MAKECMDGOALS),all)),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(wildcard $(PGXS)),)
$(error $(PG_CONFIG) leads to no PGXS: install PostgreSQL's server headers (postgresql-server-dev-NN), or name another with PG_CONFIG=)
endif
include $(PGXS)

# Any header may matter to any file: PGXS itself follows no headers.
$(OBJS): $(wildcard $(srcdir)/src/*.h $(srcdir)/src/*/*.h)
endif

# `make test`: every test, on a private server in a temporary folder. With
# SANITIZE=1 or ASSERT=1: see src/README.
# `make demo`: a first tour on the tags of Debian's packages, or on MovieLens
# files: `make demo RATINGS=path/ratings.csv TITLES=path/movies.csv`. With KEEP=1
# the server stays up.
.PHONY: test demo
test demo: export FACTOR_CALLED_FROM := $(PWD)
test:
	@test/run.sh
demo:
	@test/demo.sh
