# factor: a PostgreSQL extension. `make`, `make install` and `make installcheck`
# work as for any PGXS extension.

EXTENSION = factor
MODULE_big = factor
DATA = $(wildcard sql/factor--*.sql)

# In reading order, from plain numerics up to the functions that SQL calls.
OBJS = \
	src/numerics/distance.o \
	src/numerics/codes.o \
	src/numerics/codes_x86.o \
	src/rank/vector.o \
	src/rank/operators.o \
	src/rank/topk.o \
	src/rank/page.o \
	src/rank/directory.o \
	src/rank/build.o \
	src/rank/insert.o \
	src/rank/candidates.o \
	src/rank/scan.o \
	src/rank/vacuum.o \
	src/rank/check.o \
	src/factor.o

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=factor
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=factor
PROVE_TESTS = test/t/*.pl

# Contraction to fused multiply-add is left to code that asks for it, so that
# one source gives one result on every processor of a kind.
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -O3 -ffp-contract=off
SHLIB_LINK = -ldl -lm

# No JIT bitcode: nothing here gains from inlining, and it would need clang.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
