using System.Globalization;
using System.Runtime.Versioning;
using System.Text;
using Distributed.Collectives.Hosting;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>
/// A tiny shell that outlives the launcher by a moment: it reads a pipe from it, is told of every process group, and when the pipe ends
/// without a farewell, because the launcher was killed, kills the groups that are left and removes the job's directory.
/// </summary>
/// <remarks>
/// <para>It protects programs that know nothing of the launcher, stopped ones included. It has a session of its own, so that no terminal
/// and no signal to the launcher's group reaches it, and an empty environment.</para>
/// <para>A launcher that dies inside posix_spawn, or right after it, cannot tell of that child any more. It is found all the same: its
/// environment has the job's directory. The pipe cannot end before that program is in place, because until then the child holds a copy of the
/// launcher's end; the environment becomes visible a moment later, hence the repeated look. It also finds descendants that have left their
/// group. Elsewhere than on Linux ps(1) shows the environments; macOS hides those of its own protected programs (/bin/sleep), not those
/// of what a user has installed.</para>
/// </remarks>
[UnsupportedOSPlatform("windows")]
internal sealed class Guardian : IDisposable
{
    private const string Script = """
        trap '' HUP INT QUIT TERM TSTP TTIN TTOU PIPE
        set -f
        groups=' '
        while read -r verb group; do
          case $verb in
            +) groups="$groups$group " ;;
            -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
            .) exit 0 ;;
          esac
        done
        for group in $groups; do kill -s KILL -- "-$group"; done
        rm -rf -- "$1" "$1.lock"

        """;

    private const string LostChildren = """
        set +f
        for pause in 0 0 0 1 1; do
          sleep $pause
          lost "$@" | while read -r process; do kill -s KILL "$process"; done
        done
        """;

    private const string LostOnLinux = """
        lost() {
          grep -lsF -- "DISTRUN_RUNTIME_DIR=$1" /proc/[0-9]*/environ | while read -r file; do
            file=${file#/proc/}
            echo "${file%/environ}"
          done
        }

        """;

    // The shell compares by itself: a grep would find its own arguments.
    private const string LostByPs = """
        lost() {
          ps "$2" -o pid= -o command= | while read -r process command; do
            case $command in *"DISTRUN_RUNTIME_DIR=$1"*) echo "$process" ;; esac
          done
        }

        """;

    private readonly Lock _gate = new();
    private readonly DescriptorStream _words;

    private Guardian(int id, SafeFileHandle pipe)
    {
        Id = id;
        _words = new DescriptorStream(pipe, FileAccess.Write);
    }

    /// <summary>Its process id.</summary>
    public int Id { get; }

    /// <summary>Starts the shell; to be called before the first program is.</summary>
    /// <param name="directory">The job's directory, which is in the environment of every program of the job.</param>
    /// <exception cref="StartException">There is no /bin/sh.</exception>
    public static Guardian Start(string directory)
    {
        var (read, write) = Libc.CreatePipe();
        using (read)
        {
            string[] arguments = ["sh", "-c", Script + (Platform.UsesLinux ? LostOnLinux : LostByPs) + LostChildren, "distrun-guardian", directory, OperatingSystem.IsMacOS() ? "-axEww" : "axeww"];
            var id = Orphans.Start(
                () => PosixSpawn.Start("/bin/sh", arguments, ["PATH=/usr/bin:/bin"], read, output: null, error: null, ownSession: true));
            return new Guardian(id, write);
        }
    }

    /// <summary>From now on the group dies with the launcher.</summary>
    public void Watch(int group) => Tell('+', group);

    /// <summary>The group is gone; its id may soon mean another one.</summary>
    public void Forget(int group) => Tell('-', group);

    /// <summary>Sends the shell home: nothing of the job is left.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            Tell('.', 0);
            _words.Dispose();
        }

        // It has nothing left to do but exit. Should it be stopped, init collects it later.
        for (var attempt = 0; attempt < 200 && Libc.WaitPid(Id, out _, Libc.WaitNoHang) == 0; attempt++)
        {
            Thread.Sleep(1);
        }
    }

    private void Tell(char verb, int group)
    {
        lock (_gate)
        {
            try
            {
                _words.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{verb} {group}\n")));
            }
            catch (Exception exception) when (exception is IOException or ObjectDisposedException)
            {
                // Somebody has killed the shell. The job goes on; the worker's own ties to the launcher hold.
            }
        }
    }
}
