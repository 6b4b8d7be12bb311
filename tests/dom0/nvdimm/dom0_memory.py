"""Host memory for tests of Dom0: a sparse dictionary of pages, so that terabytes cost nothing."""

from xlpy.addr import PAGE


class SparseMemory:
    def __init__(self):
        self.pages = {}

    def read(self, spa, length):
        out = bytearray()
        while len(out) < length:
            page, inside = divmod(spa + len(out), PAGE)
            step = min(length - len(out), PAGE - inside)
            out += self.pages.get(page, bytes(PAGE))[inside : inside + step]
        return bytes(out)

    def write(self, spa, data):
        done = 0
        while done < len(data):
            page, inside = divmod(spa + done, PAGE)
            step = min(len(data) - done, PAGE - inside)
            self.pages.setdefault(page, bytearray(PAGE))[inside : inside + step] = data[done : done + step]
            done += step

    def zero(self, span):
        assert span.aligned()
        for page in [page for page in self.pages if page * PAGE in span]:
            del self.pages[page]
