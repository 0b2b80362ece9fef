export PYTHONPATH=/work/base:/work/scratch/learn NUMBA_CACHE_DIR=/work/scratch/learn/.numba NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1
PY="nice -n 15 /work/main/.venv/bin/python"
