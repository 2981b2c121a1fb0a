"""A client of the Language Server Protocol, as small as it can be: one server, one folder, one answer after another."""

import json
import subprocess
import threading
from queue import Empty, Queue

WAIT_S = 60
CAPABILITIES = {
    "textDocument": {
        "hover": {"contentFormat": ["markdown"]},
        "completion": {"completionItem": {"documentationFormat": ["markdown"]}},
        "publishDiagnostics": {},
    },
    "workspace": {"configuration": True},
}


class Editor:
    """What an editor does with *folder*: it starts the *command*, opens texts, and asks."""

    def __init__(self, command, folder, settings):
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        self._folder = folder
        self._settings = settings
        self._answers = {}
        self._diagnostics = Queue()
        self._arrived = threading.Condition()
        self._last = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        where = {"rootUri": folder.as_uri(), "workspaceFolders": [{"uri": folder.as_uri(), "name": "project"}]}
        self.ask("initialize", processId=None, capabilities=CAPABILITIES, **where)
        self._tell("initialized")

    def close(self):
        self.ask("shutdown")
        self._tell("exit")
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()

    def open(self, file, text):
        """Show *text* as that of *file*, which is not open yet, and return what is found to be wrong with it."""
        document = {"uri": (self._folder / file).as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", textDocument=document)
        while True:
            try:
                found = self._diagnostics.get(timeout=WAIT_S)
            except Empty:
                raise AssertionError(f"nothing was said of {file} in {WAIT_S} s") from None
            if found["uri"] == document["uri"]:
                return found["diagnostics"]

    def at(self, method, file, line, character):
        """Ask about a place in *file*; lines and characters count from 0."""
        place = {"line": line, "character": character}
        return self.ask(f"textDocument/{method}", textDocument={"uri": (self._folder / file).as_uri()}, position=place)

    def ask(self, method, **parameters):
        self._last += 1
        self._send({"id": self._last, "method": method, "params": parameters})
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: self._last in self._answers, WAIT_S)
        assert arrived, f"{method} was not answered in {WAIT_S} s"
        answer = self._answers.pop(self._last)
        assert "error" not in answer, answer
        return answer["result"]

    def _tell(self, method, **parameters):
        self._send({"method": method, "params": parameters})

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self):
        while head := self._process.stdout.readline():
            length = int(head.partition(b":")[2])
            while self._process.stdout.readline().strip():
                pass
            self._take(json.loads(self._process.stdout.read(length)))

    def _take(self, message):
        if "id" in message and "method" in message:
            self._send({"id": message["id"], "result": self._settled(message)})
        elif "id" in message:
            with self._arrived:
                self._answers[message["id"]] = message
                self._arrived.notify()
        elif message["method"] == "textDocument/publishDiagnostics":
            self._diagnostics.put(message["params"])

    def _settled(self, message):
        """Answer what the server asks for: its settings; everything else it may do as it likes."""
        if message["method"] != "workspace/configuration":
            return None
        return [self._settings.get(item.get("section")) for item in message["params"]["items"]]
