using System.Diagnostics;
using Distributed.Engine.Nccl;

namespace Distributed.Engine.Tests.Nccl;

/// <summary>
/// A libnccl of a few lines of C, compiled by the test: it proves that the calls pass what nccl.h says, the identity by value above all. "Sums" multiply
/// by the number of ranks; the last of three ranks is refused.
/// </summary>
internal sealed class FakeNccl : IDisposable
{
    private const string Source = """
        #include <stddef.h>
        #include <stdlib.h>
        typedef struct { char internal[128]; } ncclUniqueId;
        typedef struct { int nranks; int rank; int aborted; } Comm;
        int ncclGetVersion(int* version) { *version = 22305; return 0; }
        int ncclGetUniqueId(ncclUniqueId* id) { for (int i = 0; i < 128; i++) id->internal[i] = (char)(3 * i + 1); return 0; }
        int ncclCommInitRank(void** comm, int nranks, ncclUniqueId id, int rank) {
          for (int i = 0; i < 128; i++) if (id.internal[i] != (char)(3 * i + 1)) return 4;
          if (nranks == 3 && rank == 2) return 5;
          Comm* made = calloc(1, sizeof(Comm)); /* never freed: the test looks at it after the end */
          made->nranks = nranks; made->rank = rank; *comm = made; return 0;
        }
        int ncclCommAbort(void* comm) { ((Comm*)comm)->aborted = 1; return 0; }
        int ncclCommDestroy(void* comm) { return 0; }
        int ncclCommGetAsyncError(void* comm, int* error) { *error = ((Comm*)comm)->aborted ? 6 : 0; return 0; }
        const char* ncclGetErrorString(int result) { return result == 4 ? "invalid argument" : result == 5 ? "invalid usage" : "remote process exited"; }
        int ncclAllReduce(const void* send, void* recv, size_t count, int type, int op, void* comm, void* stream) {
          if (type != 7 || op != 0 || stream != NULL || send != recv) return 4;
          for (size_t i = 0; i < count; i++) ((float*)recv)[i] *= (float)((Comm*)comm)->nranks;
          return 0;
        }
        """;

    private readonly TemporaryFolder _folder = new();

    public string Path => _folder["libnccl.so"];

    public NcclLibrary Library => NcclLibrary.TryLoad(Path)!;

    /// <summary>Compiles it; skips the test where there is no compiler.</summary>
    public static FakeNccl Compile()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "NCCL is for Linux.");
        var fake = new FakeNccl();
        File.WriteAllText(fake._folder["nccl.c"], Source);
        try
        {
            using var compiler = Process.Start(new ProcessStartInfo("cc", ["-shared", "-fPIC", "-o", fake.Path, fake._folder["nccl.c"]]))!;
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            fake.Dispose();
            Assert.Skip("There is no C compiler (cc).");
        }

        return fake;
    }

    public void Dispose() => _folder.Dispose();
}
