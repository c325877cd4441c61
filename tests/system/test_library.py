"""libminikv as it is installed, and the examples that come with it, against real nodes."""
import concurrent.futures
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading

from cluster import Cluster, build_directory, eventually, listing, scaled
from testing import count_from_environment, in_time, limit, report

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
EXAMPLES = ("config_cas", "counter", "leader", "locked", "poll_loop")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
# What a library that never ends the process and never prints has no use for.
FORBIDDEN = re.compile(
    r"(abort|_?exit|_Exit|quick_exit|check_failed|__assert_fail|mem_\w+|buf_\w+|diag\w*|std(out|err)"
    r"|_IO_\w+|(__)?v?f?d?printf(_chk)?|f?put(s|c|char)|fwrite|perror|syslog)$")


def run(command, **options):
    """The standard output of a command that succeeds."""
    result = subprocess.run(command, **{"text": True, "input": "", "stdout": subprocess.PIPE,
                                        "stderr": subprocess.STDOUT, "timeout": scaled(120),
                                        **options})
    assert result.returncode == 0, f"{command} exited with {result.returncode}:\n{result.stdout}"
    return result.stdout


def cache():
    """The settings of the build under test."""
    with open(os.path.join(build_directory(), "CMakeCache.txt")) as file:
        return dict(re.findall(r"^(\w+):\w+=(.*)$", file.read(), re.MULTILINE))


def compiler():
    """The C compiler to use a library of this build with, and flags: sanitizers are contagious."""
    sanitize = cache().get("MINIKV_SANITIZE", "").replace(";", ",")
    return [cache()["CMAKE_C_COMPILER"], f"-fsanitize={sanitize}"] if sanitize else ["cc"]


def is_release():
    return cache()["CMAKE_BUILD_TYPE"] in ("Release", "RelWithDebInfo")


def declared_functions():
    with open(os.path.join(ROOT, "include", "minikv", "minikv.h")) as file:
        return set(re.findall(r"^MINIKV_API [^;(]*?(\w+)\(", file.read(), re.MULTILINE))


class Installed:
    """The build under test, installed in a directory of its own and then moved to another."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="minikv-test-install-")
        first, self.prefix = (os.path.join(self.directory, n) for n in ("first", "moved"))
        run(["cmake", "--install", build_directory(), "--prefix", first])
        os.rename(first, self.prefix)
        # Where the machine's GNUInstallDirs put libraries: lib, lib64 or lib/<triplet>.
        self.libdir = os.path.dirname(self.find("libminikv.so"))
        self.environment = {**os.environ, "LD_LIBRARY_PATH": self.libdir,
                            "PKG_CONFIG_PATH": os.path.join(self.libdir, "pkgconfig")}
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)

    def find(self, name):
        found = glob.glob(f"{glob.escape(self.prefix)}/**/{name}", recursive=True)
        assert len(found) == 1, (name, found)
        return found[0]

    def scratch(self, name):
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        return path

    def pkg_config(self, *arguments):
        return shlex.split(run(["pkg-config", *arguments, "minikv"], env=self.environment))

    def compile_example(self, name, *, static=False):
        """Builds one as a user would; returns the program."""
        source = self.find(f"{name}.c")
        output = os.path.join(self.scratch("bin"), name + ("-static" if static else ""))
        libraries = self.pkg_config("--libs")
        if static:  # the archive in place of the shared library
            libraries = [os.path.join(self.libdir, "libminikv.a") if flag == "-lminikv" else flag
                         for flag in self.pkg_config("--static", "--libs")]
        run([*compiler(), *WARNINGS, source, "-o", output, *self.pkg_config("--cflags"),
             *libraries])
        return output


# ---- the package ----

def test_programs_headers_pages_and_examples_are_installed():
    with Installed() as installed:
        programs = sorted(os.listdir(os.path.join(installed.prefix, "bin")))
        assert programs == ["minikv", "minikv-inspect", "minikvd"], programs
        for name in programs:
            run([os.path.join(installed.prefix, "bin", name), "--version"])
        for name in os.listdir(os.path.join(ROOT, "include", "minikv")):
            installed.find(f"include/minikv/{name}")
        for name in ("LICENSE", "README.md", *(f"examples/{e}.c" for e in EXAMPLES)):
            installed.find(f"share/doc/minikv/{name}")
        for name in ("libminikv.so.0", "libminikv.so.0.*", "libminikv.a", "minikv.pc",
                     "minikvConfig.cmake", "minikvConfigVersion.cmake"):
            installed.find(name)


def test_every_function_has_a_manual_page_under_its_name():
    with Installed() as installed:
        for name in declared_functions():
            with open(installed.find(f"share/man/man3/{name}.3")) as file:
                text = file.read()
            alias = re.fullmatch(r"\.so (man3/(\w+)\.3)\n", text)
            if alias:
                with open(installed.find(f"share/man/{alias.group(1)}")) as file:
                    text = file.read()
            names = re.search(r"^\.SH NAME\n(.*) \\- ", text, re.MULTILINE).group(1)
            assert name in names.split(", "), (name, names)


def test_no_installed_file_names_a_path_of_the_machine_that_built_it():
    if not is_release():
        return  # a debug build is used where it was made
    paths = [ROOT.encode(), os.path.abspath(build_directory()).encode()]
    count = 0
    with Installed() as installed:
        paths.append(installed.directory.encode())
        for folder, _, names in os.walk(installed.prefix):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read()
                assert not any(path in data for path in paths), os.path.join(folder, name)
                count += 1
    assert count > 20, count


def test_the_libraries_export_what_the_header_declares_and_nothing_else():
    with Installed() as installed:
        shared, archive = installed.find("libminikv.so"), installed.find("libminikv.a")
        exported = run(["nm", "-D", "--defined-only", "--format=just-symbols", shared]).split()
        dynamic = run(["readelf", "-d", shared])

        assert set(exported) == declared_functions(), exported
        assert re.findall(r"SONAME.*\[(.*)\]", dynamic) == ["libminikv.so.0"], dynamic
        assert os.readlink(shared) == "libminikv.so.0", os.readlink(shared)
        if not cache().get("MINIKV_SANITIZE"):
            needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
            assert needed <= {"libc.so.6", "libpthread.so.0"}, needed
            globals_ = run(["nm", "--defined-only", "--extern-only", "--format=just-symbols",
                            archive]).split()
            # the first line names the object
            assert {n for n in globals_ if not n.endswith(":")} == declared_functions(), globals_


def test_the_libraries_can_neither_end_the_process_nor_print():
    if cache().get("MINIKV_SANITIZE"):
        return  # sanitizers do both, on purpose
    with Installed() as installed:
        for library, kind in (("libminikv.so", ["-D"]), ("libminikv.a", [])):
            symbols = run(["nm", *kind, "--undefined-only", "--format=just-symbols",
                           installed.find(library)]).split()
            names = {symbol.split("@")[0] for symbol in symbols if not symbol.endswith(":")}
            assert "poll" in names or "__poll_chk" in names, f"is this all of it? {names}"
            assert not [n for n in names if FORBIDDEN.match(n)], (library, names)


def test_the_library_has_no_variables():
    if cache().get("MINIKV_SANITIZE"):
        return
    with Installed() as installed:
        rows = run(["readelf", "-S", "-W", installed.find("libminikv.a")])
        sizes = {name: int(size, 16) for name, size in re.findall(
            r"\] (\.\S+)\s+\w+\s+[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)", rows)}
        assert sum(size for name, size in sizes.items() if name.startswith(".text")) > 0, sizes
        # .data.rel.ro is constant once the addresses in it are known
        assert not {name: size for name, size in sizes.items() if size > 0 and re.match(
            r"\.(t?data|t?bss)(?!\.rel\.ro)", name)}, sizes


def test_the_header_is_plain_c99_and_c_plus_plus():
    with Installed() as installed:
        header = ["-x", "c", installed.find("minikv.h"), "-fsyntax-only", *WARNINGS,
                  *installed.pkg_config("--cflags")]
        compilers = {name for name in ("cc", "gcc", "clang") if shutil.which(name)}
        for name in compilers:
            for standard in ("c99", "c11", "gnu17"):
                run([name, f"-std={standard}", *header])

        source = os.path.join(installed.scratch("cpp"), "version.cpp")
        with open(source, "w") as file:
            file.write('#include <cstdio>\n#include <minikv/minikv.h>\n'
                       'int main() { std::puts(minikv_version()); }\n')
        for name in {"g++", "clang++"}:
            if shutil.which(name) and not cache().get("MINIKV_SANITIZE"):
                run([name, *WARNINGS, source, "-o", source + ".out",
                     *installed.pkg_config("--cflags", "--libs")])
                version = run([source + ".out"], env=installed.environment).strip()
                assert version == cache()["CMAKE_PROJECT_VERSION"], version


def test_examples_build_by_the_line_in_their_heads():
    with Installed() as installed:
        for name in EXAMPLES:
            with open(installed.find(f"{name}.c")) as file:
                line = re.search(r"^ \*\s+(cc .*)$", file.read(), re.MULTILINE).group(1)
            folder = installed.scratch(name)
            shutil.copy(installed.find(f"{name}.c"), folder)
            run(["sh", "-euc", line.replace("cc ", shlex.join(compiler()) + " ", 1)], cwd=folder,
                env=installed.environment)
            usage = subprocess.run([os.path.join(folder, name)], capture_output=True, text=True,
                                   env=installed.environment)
            assert usage.returncode == 2 and f"usage: {name} " in usage.stderr, usage


def test_examples_build_against_the_archive():
    with Installed() as installed:
        for name in EXAMPLES:
            program = installed.compile_example(name, static=True)
            assert "libminikv" not in run(["readelf", "-d", program])
            usage = subprocess.run([program], capture_output=True, text=True)
            assert usage.returncode == 2 and f"usage: {name} " in usage.stderr, usage
        if not cache().get("MINIKV_SANITIZE"):  # a whole program without any shared library
            program += "-alone"
            run(["cc", "-static", installed.find("counter.c"), "-o", program,
                 *installed.pkg_config("--static", "--cflags", "--libs")])
            assert "NEEDED" not in run(["readelf", "-d", program])


def test_the_c_programs_in_documents_compile():
    documents = ["README.md", *glob.glob("docs/*.md", root_dir=ROOT)]
    count = 0
    for document in documents:
        with open(os.path.join(ROOT, document)) as file:
            blocks = re.findall(r"^```c\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
        for block in blocks:
            if "#include <minikv/minikv.h>" in block:
                count += 1
                run(["cc", "-std=c11", *WARNINGS, f"-I{ROOT}/include", "-fsyntax-only", "-x", "c",
                     "-"], input=block)
    report(f"{count} programs")


CONSUMER = """
cmake_minimum_required(VERSION 3.16)
project(consumer LANGUAGES C)
find_package(minikv {version} REQUIRED)
add_executable(counter "{source}")
set_target_properties(counter PROPERTIES C_STANDARD 11)
target_link_libraries(counter PRIVATE {target})
"""


def configure(installed, source, build):
    """Runs CMake on a project outside of this one; returns the completed process."""
    return subprocess.run(
        ["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={installed.prefix}",
         f"-DCMAKE_C_COMPILER={shutil.which(compiler()[0])}",
         f"-DCMAKE_C_FLAGS={' '.join(compiler()[1:])}"],
        capture_output=True, text=True, timeout=scaled(60))


def test_a_cmake_project_finds_the_library():
    with Installed() as installed:
        build = installed.scratch("examples-build")
        source = os.path.dirname(installed.find("share/doc/minikv/examples/CMakeLists.txt"))
        configured = configure(installed, source, build)
        assert configured.returncode == 0, configured
        run(["cmake", "--build", build])
        for name in EXAMPLES:
            usage = subprocess.run([os.path.join(build, name)], capture_output=True, text=True)
            assert usage.returncode == 2 and f"usage: {name} " in usage.stderr, usage


def test_a_cmake_project_can_choose_the_archive_and_ask_for_a_version():
    with Installed() as installed:
        def consumer(name, version, target):
            folder = installed.scratch(name)
            with open(os.path.join(folder, "CMakeLists.txt"), "w") as file:
                file.write(CONSUMER.format(version=version, target=target,
                                           source=installed.find("counter.c")))
            return configure(installed, folder, folder + "/build"), folder + "/build"

        configured, build = consumer("static", "0.1", "minikv::minikv_static")
        assert configured.returncode == 0, configured
        run(["cmake", "--build", build])
        assert "libminikv" not in run(["readelf", "-d", f"{build}/counter"])

        too_old, _ = consumer("too-old", "0.2", "minikv::minikv")
        assert too_old.returncode != 0 and "minikvConfig.cmake" in too_old.stderr, too_old


@limit(240)
def test_the_library_has_the_same_bytes_wherever_it_is_built():
    if not is_release():
        return
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="minikv-test-build-") as directory:
        copy, build = os.path.join(directory, "source"), os.path.join(directory, "elsewhere")
        for name in filter(None, listed.split("\0")):
            source, target = os.path.join(ROOT, name), os.path.join(copy, name)
            if os.path.exists(source):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copy(source, target)
        run(["cmake", "--preset", "release", "-S", copy, "-B", build,
             *(f"-D{name}={cache()[name]}" for name in ("CMAKE_BUILD_TYPE", "CMAKE_C_COMPILER"))],
            cwd=copy)
        run(["ninja", "-C", build, "minikv_shared", "minikv_static"])
        for name in ("libminikv.so.0", "libminikv.a"):
            files = [os.path.join(place, name) for place in (build_directory(), build)]
            first, second = (open(file, "rb").read() for file in files)
            assert first == second, name


# ---- the examples at work ----

class Counter:
    """A running examples/counter; a thread reads how far it says it has come."""

    def __init__(self, installed, nodes, key, goal):
        self.output = ""
        self.done = 0
        endpoints = ",".join(node.http_text for node in nodes)
        self.process = subprocess.Popen(
            [installed.compile_example("counter"), endpoints, key, str(goal)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=installed.environment)
        self.reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self):
        self.reader.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.reader.join()
        self.process.stdout.close()
        self.process.wait()

    def _read(self):
        for line in self.process.stdout:
            self.output += line
            progress = re.fullmatch(r"(\d+) of \d+\n", line)
            if progress:
                self.done = int(progress.group(1))

    def wait_progress(self):
        """Until it has counted on from where it is now."""
        before = self.done
        eventually(lambda: self.done > before or self.process.poll() is not None,
                   "the counter goes on", timeout=60)
        in_time(self.process.poll() is None, f"it ended: {self.output}")

    def wait_end(self):
        status = self.process.wait(scaled(60))
        self.reader.join()
        return status


def kill_leaders_under(counter, cluster):
    for _ in range(2):
        leader = cluster.leader()
        counter.wait_progress()
        leader.kill()
        counter.wait_progress()  # a line may have been written before the kill,
        counter.wait_progress()  # but not the next
        counter.process.send_signal(signal.SIGSTOP)  # or it is through before all are back
        cluster.start()
        counter.process.send_signal(signal.SIGCONT)


@limit(180)
def test_a_counter_does_not_notice_that_its_leader_is_killed():
    goal = count_from_environment("MINIKV_TEST_EXAMPLE_COUNT", 10000)
    with Installed() as installed, Cluster(3).start() as cluster:
        # The leader first: it is the one that the counter turns to.
        leader, followers = cluster.roles()
        nodes = [leader, *followers]
        with Counter(installed, nodes, "visits", goal) as counter:
            kill_leaders_under(counter, cluster)
            assert counter.wait_end() == 0, counter.output

        end = re.search(rf"^counted {goal} in (\d+) attempts\nvisits is {goal}\n\Z", counter.output,
                        re.MULTILINE)
        assert end, counter.output
        in_time(int(end.group(1)) > goal, "no request met a dead leader")
        cluster.assert_same_state()
        for node in cluster.nodes:
            assert node.value("visits") == str(goal), node
        report(f"{int(end.group(1)) - goal} attempts in vain")


@limit(120)
def test_a_loader_with_its_own_poll_loop_stores_every_line_across_a_leader_kill():
    count = 5000
    with Installed() as installed, Cluster(3).start() as cluster:
        loader = subprocess.Popen(
            [installed.compile_example("poll_loop"),
             ",".join(node.http_text for node in cluster.nodes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=installed.environment)
        lines = [f"key-{i:05d} value {i}\n" for i in range(count)]
        loader.stdin.write("".join(lines[:count // 2]))
        loader.stdin.flush()
        eventually(lambda: cluster.nodes[0].value("key-00100"), "the first lines are stored")
        cluster.leader().kill()
        output, _ = loader.communicate("".join(lines[count // 2:]), timeout=scaled(60))

        assert loader.returncode == 0 and output == f"stored {count}, failed 0\n", output
        items = {item["key"]: item for item in listing(cluster.up()[0])}
        assert {key: item["value"] for key, item in items.items()} == \
            {f"key-{i:05d}": f"value {i}" for i in range(count)}
        assert {item["version"] for item in items.values()} == {1}, "a line was stored twice"


@limit(120)
def test_settings_changed_by_compare_and_set_at_the_same_time_are_all_kept():
    writers = 6
    with Installed() as installed, Cluster(3).start() as cluster:
        program = installed.compile_example("config_cas")
        endpoints = ",".join(node.http_text for node in cluster.nodes)

        def write(number):
            for value in ("first", "second", "third"):
                run([program, endpoints, "config", f"name-{number}", value],
                    env=installed.environment)

        with concurrent.futures.ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, range(writers)))

        text = cluster.nodes[0].value("config")
        assert sorted(text.splitlines()) == [f"name-{i}=third" for i in range(writers)], text
        version = cluster.nodes[0].get("config").json["version"]
        assert version == 3 * writers, version


@limit(120)
def test_what_is_done_under_a_lock_is_done_by_one_at_a_time():
    with Installed() as installed, Cluster(3).start() as cluster:
        program = installed.compile_example("locked")
        endpoints = ",".join(node.http_text for node in cluster.nodes)

        def add(_):
            run([program, endpoints, "job", "sum"], env=installed.environment)

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(add, range(24)))

        assert cluster.nodes[0].value("sum") == "24"
        assert cluster.nodes[1].get("sum").json["version"] == 24
        assert cluster.nodes[0].request("GET", "/v1/leases").json["leases"] == []
