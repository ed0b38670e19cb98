"""Serves an app on a port that the system chooses, and says which."""

from werkzeug.serving import make_server


def serve(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"listening on 127.0.0.1:{server.port}", flush=True)
    server.serve_forever()
