using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>A running program of a <see cref="Peer"/>. Its standard input is its life line: it ends with this process at the latest.</summary>
internal sealed class PeerProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _errors = new();

    /// <param name="peer">Whose program it is.</param>
    /// <param name="script">The program.</param>
    /// <param name="settings">What it is told, as one JSON argument.</param>
    public PeerProcess(Peer peer, string script, PeerSettings settings)
    {
        var start = new ProcessStartInfo(peer.Program, [script, JsonSerializer.Serialize(settings, JsonSerializerOptions.Web)])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["GRPC_VERBOSITY"] = "NONE";
        start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        _process = Process.Start(start)!; // UseShellExecute is false: a process is always started
        _process.ErrorDataReceived += (_, line) =>
        {
            lock (_errors)
            {
                _errors.AppendLine(line.Data);
            }
        };
        _process.BeginErrorReadLine();
    }

    /// <summary>The next line of its output, or null at the end.</summary>
    public Task<string?> ReadLineAsync() => _process.StandardOutput.ReadLineAsync().DefaultTimeout();

    /// <summary>What it wrote to standard error, for messages.</summary>
    public string Errors
    {
        get
        {
            lock (_errors)
            {
                return _errors.ToString();
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync().DefaultTimeout();
        _process.Dispose();
    }
}
