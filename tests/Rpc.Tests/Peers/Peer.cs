using Distributed.Rpc.Tests.Hosting;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>
/// A gRPC implementation of somebody else: programs under interop/ that speak to this project's client and server. A server prints the
/// port it listens on and ends with its standard input; a client prints a line a case: its name, a tab, "ok" or what went wrong.
/// </summary>
internal sealed record Peer(string Name, Transport Transport, string Program, string ServerScript, string ClientScript)
{
    private static readonly string Folder = Path.Combine(Repository.Root, "tests", "Rpc.Tests", "interop");

    /// <summary>The npm package @grpc/grpc-js, over TLS.</summary>
    public static Peer JavaScript { get; } = new("grpc-js", Transport.Tls, "node", Script("js", "server.js"), Script("js", "client.js"));

    /// <summary>Debian's python3-grpcio (the C core), over a Unix socket.</summary>
    public static Peer Python { get; } = new(
        "python3-grpcio", Transport.UnixSocket, "/usr/bin/python3", Script("python", "server.py"), Script("python", "client.py"));

    /// <summary>Debian's ruby-grpc (the C core) with the official interoperability client and server, over TCP.</summary>
    public static Peer Ruby { get; } = new("ruby-grpc", Transport.Tcp, "ruby", Script("ruby", "server.rb"), Script("ruby", "client.rb"));

    public static Peer Named(string name) => new[] { JavaScript, Python, Ruby }.Single(peer => peer.Name == name);

    /// <summary>The cases that the peer's client has; that of ruby-grpc 1.51 does not have all.</summary>
    public IEnumerable<string> ClientCases => InteropCases.Names.Where(name => this != Ruby || name != "special_status_message");

    /// <summary>Why the peer cannot run here, or null where it can; tests/install-programs.sh installs what is missing.</summary>
    public string? Missing => Requirements.MissingProgram(Path.GetFileName(Program)) ?? (Name switch
    {
        "grpc-js" when !Directory.Exists(Script("js", "node_modules")) => "interop/js/node_modules is not here; run interop/install.sh.",
        "python3-grpcio" when !Directory.Exists("/usr/lib/python3/dist-packages/grpc") => "Debian's python3-grpcio is not installed.",
        "ruby-grpc" when RubyScripts is null => "Debian's ruby-grpc is not installed.",
        _ => null,
    });

    /// <summary>The folder of the official scripts, which Debian installs with the gem.</summary>
    public static string? RubyScripts { get; } = Directory.Exists("/usr/lib")
        ? Directory.EnumerateDirectories("/usr/lib", "rubygems-integration", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 2 })
            .SelectMany(gems => Directory.EnumerateDirectories(gems, "grpc-*", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 3 }))
            .Select(gem => Path.Combine(gem, "src", "ruby", "pb", "test"))
            .FirstOrDefault(Directory.Exists)
        : null;

    private static string Script(params string[] path) => Path.Combine([Folder, .. path]);
}
