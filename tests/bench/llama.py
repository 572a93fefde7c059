"""llama.cpp's server from the PyPI package xllamacpp, in a process of its own: llama.py JSON. Used by rivals.py alone.

JSON: {"model", "port", "threads", "rows", "context" of a row, "adapters": [paths]}. Adapters are loaded and off until a request
asks for one. Everything else is as the package has it.
"""
import json
import sys
import threading

import xllamacpp


def main():
    told = json.loads(sys.argv[1])
    p = xllamacpp.CommonParams()
    p.model.path = told["model"]
    p.port = told["port"]
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = told["threads"]
    p.n_parallel = told["rows"]
    p.n_ctx = told["rows"] * told["context"]
    p.cache_prompt, p.cache_ram_mib = False, 0
    p.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in told["adapters"]]
    p.lora_init_without_apply = True
    server = xllamacpp.Server(p)
    print(xllamacpp.get_system_info(), server.listening_address, flush=True)
    threading.Event().wait()


main()
