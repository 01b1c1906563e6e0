"""`rltf serve`: the judge and the problems over HTTP, for trainers in other processes and on other machines.

    rltf serve --dataset mbpp                        on this machine alone, port 8080
    sandbox.load("http", urls="http://127.0.0.1:8080")

`app.py` puts the routes together; `gate.py` stands before them all (token, size and time of a
body); `queue.py` is the judge as they use it. The routes: `judging.py` is ours, `fusion.py` is
SandboxFusion's, `rewards.py` OpenRLHF's and slime's, `status.py` says what is there and how it
goes. Nothing here is imported unless asked for, and FastAPI and uvicorn only below this file.
"""
