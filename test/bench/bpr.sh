#!/bin/bash
# Sampled triples a second of loss => 'bpr' at 64 factors, and those of the
# package implicit in the same run: one process against one, two against two.
#
#   PYTHON=venv/bin/python test/bench/bpr.sh last.fm/train.txt
#
# The file has a user and the user's items in a line. It needs a server with
# factor installed (PGHOST, PGPORT, PGUSER), and a Python with implicit and scipy.
# Seconds are those of the epochs alone, from the end of the first to the end of
# the last: of factor from mf_history, of implicit from its callback. The two take
# turns, so that other work on the machine meets both; medians are printed, the
# ratio of the medians, and the least and the largest ratio of a round.
# ROUNDS, EPOCHS and OPTIMIZER (sgd, as implicit has it) may be set.
set -e -u -o pipefail

file=$1
epochs=${EPOCHS:-150}
python=${PYTHON:-python3}
psql() { command psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

psql -c "DROP TABLE IF EXISTS bpr_pairs; CREATE TABLE bpr_pairs (user_id int, item_id int)"
awk '{ for (k = 2; k <= NF; k++) print $1 "\t" $k }' "$file" |
	psql -c "COPY bpr_pairs FROM STDIN"
pairs=$(psql -c "SELECT count(*) FROM bpr_pairs")
echo "$pairs pairs, $epochs epochs, 64 factors"

# factor WORKERS: millions of triples a second
factor()
{
	psql <<-END
		SET client_min_messages = error;
		SET max_parallel_maintenance_workers = $1;
		SELECT count(mf_train('bpr_pairs', rating_col => NULL, model => 'bpr_speed', loss => 'bpr', factors => 64, iterations => $epochs, verbose => false,
			options => '{"negatives": 1, "optimizer": "${OPTIMIZER:-sgd}", "index": false}')) AS ignored \gset
		SELECT round((($epochs - 1) * $pairs / (max(seconds) - min(seconds)) / 1e6)::numeric, 3)
		FROM mf_history WHERE model = 'bpr_speed';
		SELECT mf_drop('bpr_speed');
	END
}

# implicit THREADS: the same
implicit()
{
	OPENBLAS_NUM_THREADS=1 "$python" - "$file" "$1" "$epochs" <<-'END'
		import sys, time
		import numpy as np
		from scipy.sparse import csr_matrix
		from implicit.bpr import BayesianPersonalizedRanking

		rows, cols = [], []
		for line in open(sys.argv[1]):
		    words = line.split()
		    rows += [int(words[0])] * (len(words) - 1)
		    cols += [int(word) for word in words[1:]]
		pairs = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, cols)))
		epochs = int(sys.argv[3])
		model = BayesianPersonalizedRanking(factors=64, iterations=epochs, num_threads=int(sys.argv[2]),
		                                    random_state=1)
		ends = []
		model.fit(pairs, show_progress=False, callback=lambda *ignored: ends.append(time.time()))
		print("%.3f" % ((epochs - 1) * pairs.nnz / (ends[-1] - ends[0]) / 1e6))
	END
}

median() { sort -g | awk '{ value[NR] = $1 } END { print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'; }

for processes in 1 2; do
	ours=() theirs=() ratios=()
	for ((round = 0; round < ${ROUNDS:-9}; round++)); do
		ours+=("$(factor $((processes - 1)) | sed '/^$/d')")
		theirs+=("$(implicit "$processes")")
		ratios+=("$(awk "BEGIN { print ${ours[-1]} / ${theirs[-1]} }")")
	done
	ratios=($(printf '%s\n' "${ratios[@]}" | sort -g))
	awk -v p="$processes" -v a="$(printf '%s\n' "${ours[@]}" | median)" \
		-v b="$(printf '%s\n' "${theirs[@]}" | median)" -v least="${ratios[0]}" -v most="${ratios[-1]}" 'BEGIN {
		printf "%d process(es), medians: factor %.2f, implicit %.2f million triples/s: %.2f times (rounds: %.2f to %.2f)\n",
			p, a, b, a / b, least, most }'
done
psql -c "DROP TABLE bpr_pairs"
