-- The distances between vectors: values, special values, errors, plans.

-- plain values, each by its operator and by its function
SELECT '{1,2,3}'::real[] <=> '{4,-5,6}' AS op, cosine_distance('{1,2,3}', '{4,-5,6}') AS fn,
	   abs(('{1,2,3}'::real[] <=> '{4,-5,6}') - (1 - 12 / sqrt(14 * 77))) < 1e-15 AS right;
SELECT '{1,2,3}'::real[] <#> '{4,-5,6}' AS op, negative_inner_product('{1,2,3}', '{4,-5,6}') AS fn;
SELECT '{1,2,3}'::real[] <-> '{4,-2,3}' AS op, l2_distance('{1,2,3}', '{4,-2,3}') AS fn;

-- same direction, opposite, orthogonal: clamped to 0 .. 2 however it rounds
SELECT '{0.1,0.2}'::real[] <=> '{0.3,0.6}' >= 0 AS same, '{1,0}'::real[] <=> '{-3,0}' AS opposite,
	   '{1,0}'::real[] <=> '{0,5}' AS orthogonal;
SELECT count(*) AS pairs, bool_and(d BETWEEN 0 AND 2) AS clamped, bool_and(d < 1e-12) AS near_zero
  FROM (SELECT v <=> (SELECT array_agg((3 * x)::real ORDER BY o) FROM unnest(v) WITH ORDINALITY AS t(x, o)) AS d
		  FROM (SELECT array_agg((sin(i * 37 + j * 11) * 128)::int::real ORDER BY j) AS v
				  FROM generate_series(1, 100) i, generate_series(1, 37) j GROUP BY i) r) s;

-- symmetric, and exact against float8 arithmetic in SQL for sizes around the
-- number of partial sums
SELECT n,
	   (a <#> b) = (b <#> a) AND (a <=> b) = (b <=> a) AND (a <-> b) = (b <-> a) AS symmetric,
	   abs((a <#> b) + dot) <= 1e-14 * (1 + sqrt(aa * bb)) AS inner_product,
	   abs((a <=> b) - (1 - dot / sqrt(aa * bb))) <= 1e-14 AS cosine,
	   abs((a <-> b) - sqrt(dd)) <= 1e-14 * (1 + sqrt(dd)) AS euclidean
  FROM (SELECT n, array_agg(x ORDER BY k) AS a, array_agg(y ORDER BY k) AS b,
			   sum(x::float8 * y) AS dot, sum(x::float8 * x) AS aa, sum(y::float8 * y) AS bb,
			   sum((x::float8 - y) ^ 2) AS dd
		  FROM unnest('{1,2,15,16,17,31,32,33,100,1000}'::int[]) n,
			   LATERAL (SELECT k, sin(k * n)::real AS x, cos(k + n)::real AS y FROM generate_series(1, n) k) e
		 GROUP BY n) s
 ORDER BY n;

-- empty and zero vectors
SELECT '{}'::real[] <=> '{}' AS cosine, '{}'::real[] <#> '{}' AS inner_product, '{}'::real[] <-> '{}' AS euclidean;
SELECT '{0,0}'::real[] <=> '{1,2}' AS cosine, '{0,0}'::real[] <#> '{1,2}' AS inner_product, '{0,0}'::real[] <-> '{3,4}' AS euclidean;
SELECT '{1,0}'::real[] <#> '{0,1}' AS not_minus_zero;

-- NaN, infinity, huge and tiny elements
SELECT '{NaN,1}'::real[] <=> '{1,1}' AS cosine, '{NaN,1}'::real[] <#> '{1,1}' AS inner_product, '{NaN,1}'::real[] <-> '{1,1}' AS euclidean;
SELECT '{Infinity,1}'::real[] <=> '{1,1}' AS cosine, '{Infinity,1}'::real[] <#> '{1,1}' AS inner_product, '{-Infinity,1}'::real[] <-> '{1,1}' AS euclidean;
SELECT '{3e38,3e38}'::real[] <=> '{3e38,-3e38}' AS cosine, '{3e38,3e38}'::real[] <#> '{3e38,0}' < -8e76 AS inner_product,
	   '{3e38}'::real[] <-> '{-3e38}' > 5e38 AS euclidean;
SELECT '{1e-45,0}'::real[] <=> '{0,1e-45}' AS cosine, '{1e-45}'::real[] <#> '{1e-45}' < 0 AS inner_product, '{1e-45}'::real[] <-> '{0}' > 0 AS euclidean;

-- NaN sorts last, NULL after it
SELECT v FROM (VALUES ('{0,0}'::real[]), (NULL), ('{-1,0}'), ('{2,1}'), ('{NaN,1}'), ('{1,0}')) t(v)
 ORDER BY v <=> '{1,0}', v LIMIT 6;

-- strict
SELECT NULL::real[] <=> '{1}' AS a, '{1}'::real[] <#> NULL AS b, NULL::real[] <-> NULL AS c;

-- other subscripts and toasted values are no matter
SELECT '[0:1]={3,4}'::real[] <-> '{0,0}' AS lower_bound;
CREATE TEMP TABLE toasted (v real[]);
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT array_agg(k::real) FROM generate_series(1, 5000) k;
INSERT INTO toasted SELECT array_fill(1::real, '{5000}');
SELECT a.v <#> b.v AS inner_product, round((a.v <-> b.v)::numeric, 3) AS euclidean
  FROM toasted a, toasted b WHERE a.v[2] = 2 AND b.v[2] = 1;

-- errors
SELECT '{1,2,3}'::real[] <=> '{1,2}';
SELECT '{1,2,3}'::real[] <#> '{}';
SELECT '{1,2}'::real[] <-> '{1,2,3}';
SELECT '{1,NULL}'::real[] <=> '{1,2}';
SELECT '{1,2}'::real[] <-> '{1,NULL}';
SELECT '{{1,2},{3,4}}'::real[] <#> '{1,2}';

-- immutable, strict, parallel safe; the commutator is known
SELECT p.proname, p.provolatile, p.proisstrict, p.proparallel, o.oprname, o.oprcom = o.oid AS commutes
  FROM pg_proc p JOIN pg_operator o ON o.oprcode = p.oid
 WHERE p.proname IN ('cosine_distance', 'negative_inner_product', 'l2_distance')
   AND o.oprleft = 'real[]'::regtype AND o.oprright = 'real[]'::regtype
 ORDER BY 1;
