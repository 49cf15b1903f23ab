#!/bin/bash
# Sampled triples a second of loss => 'bpr' at 64 factors, and those of the
# package implicit in the same run: one process against one, two against two.
#
#   PYTHON=venv/bin/python test/bench/bpr.sh last.fm/train.txt
#
# The file has a user and the user's items in a line. It needs a server with
# factor installed (PGHOST, PGPORT, PGUSER), and a Python with implicit and scipy.
# Seconds are those of the epochs alone: of factor from mf_history, less the
# first epoch, which has the reading before it; of implicit around fit().
set -e -u -o pipefail

file=$1
epochs=${EPOCHS:-40}
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
		SELECT count(mf_train('bpr_pairs', rating_col => NULL, model => 'bpr_speed', loss => 'bpr', factors => 64,
			optimizer => '${OPTIMIZER:-sgd}', iterations => $epochs, index => false, verbose => false)) AS ignored \gset
		SELECT round((($epochs - 1) * $pairs / (max(seconds) - min(seconds)) / 1e6)::numeric, 2)
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
		start = time.time()
		model.fit(pairs, show_progress=False)
		print("%.2f" % (epochs * pairs.nnz / (time.time() - start) / 1e6))
	END
}

# Other work on the machine only ever slows a round down: the best of each counts.
for processes in 1 2; do
	ours=0
	theirs=0
	for ((round = 0; round < ${ROUNDS:-5}; round++)); do
		ours=$(printf '%s\n' "$ours" "$(factor $((processes - 1)) | sed '/^$/d')" | sort -g | tail -n 1)
		theirs=$(printf '%s\n' "$theirs" "$(implicit "$processes")" | sort -g | tail -n 1)
	done
	awk -v p="$processes" -v a="$ours" -v b="$theirs" 'BEGIN {
		printf "%d process(es): factor %.2f, implicit %.2f million triples/s: %.2f times\n", p, a, b, a / b }'
done
psql -c "DROP TABLE bpr_pairs"
