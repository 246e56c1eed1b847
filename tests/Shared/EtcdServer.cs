using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Distributed.Tests;

/// <summary>An etcd of the tests' own, on free ports of this machine; started when the first test asks for it.</summary>
public sealed class EtcdServer : IDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(20);

    private readonly string _folder = Directory.CreateTempSubdirectory("distrun-etcd-").FullName;
    private readonly Lock _gate = new();
    private Process? _process;
    private int _port;

    /// <summary>The port for clients on 127.0.0.1.</summary>
    public int Port
    {
        get
        {
            lock (_gate)
            {
                if (_process is null)
                {
                    Start();
                }

                return _port;
            }
        }
    }

    public void Dispose()
    {
        if (_process is not null)
        {
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private void Start()
    {
        _port = FreePort();
        var peers = $"http://127.0.0.1:{FreePort()}";
        var clients = $"http://127.0.0.1:{_port}";
        var start = new ProcessStartInfo("etcd")
        {
            ArgumentList =
            {
                "--data-dir", _folder, "--log-level", "error",
                "--listen-client-urls", clients, "--advertise-client-urls", clients,
                "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", $"default={peers}",
            },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += static (_, _) => { };
        _process.ErrorDataReceived += static (_, _) => { };
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        var started = Stopwatch.GetTimestamp();
        while (!IsListening(_port))
        {
            if (_process.HasExited || Stopwatch.GetElapsedTime(started) > StartLimit)
            {
                throw new InvalidOperationException("etcd does not start.");
            }

            Thread.Sleep(20);
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static bool IsListening(int port)
    {
        using var client = new TcpClient();
        try
        {
            client.Connect(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

/// <summary>A fact that needs Debian's etcd-server.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class EtcdFactAttribute : FactAttribute
{
    public EtcdFactAttribute() => Skip = Requirements.MissingProgram("etcd");
}
