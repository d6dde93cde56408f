"""What a GPU gives, in one command of at most nine minutes: `bash benchmarks/gpu/run.sh`. Networks are made on the spot, with random
weights in the shapes of real ones: nothing is downloaded.
"""
