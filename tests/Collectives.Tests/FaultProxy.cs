using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Distributed.Collectives.Tests;

/// <summary>What a <see cref="FaultProxy"/> does to the bytes of one connection, from the moment it is armed.</summary>
internal enum WireFault
{
    /// <summary>Every piece waits 2 ms.</summary>
    Delay,

    /// <summary>A mebibyte a second.</summary>
    Rate,

    /// <summary>Nothing passes for a third of the silence limit, once.</summary>
    Stall,

    /// <summary>Nothing passes one way from a byte on, and the other way everything.</summary>
    Mute,

    /// <summary>The connection is closed at a byte.</summary>
    Truncate,

    /// <summary>One bit of one byte is turned over.</summary>
    Flip,

    /// <summary>The connection is reset at a byte, both ways: what was on its way is lost.</summary>
    Reset,
}

/// <summary>
/// Stands between the ranks that dial a socket and the rank that listens there, and harms what passes, as a seed says: its remainder by the number of faults is the
/// fault, and the rest chance. Until it is armed it passes everything, so that the ranks join undisturbed.
/// </summary>
internal sealed class FaultProxy : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Socket _listener;
    private readonly EndPoint _target;
    private readonly Task _accepting;
    private readonly TimeSpan _silenceLimit;
    private readonly Random _random;
    private readonly bool _upwards;
    private readonly long _position;
    private volatile bool _isArmed;
    private int _hasStalled;
    private long _struck;

    private FaultProxy(EndPoint place, EndPoint target, int seed, TimeSpan silenceLimit)
    {
        _random = new Random(seed);
        Fault = (WireFault)(seed % Enum.GetValues<WireFault>().Length);
        _upwards = _random.Next(2) == 0;
        _position = _random.NextInt64(60_000);
        (_target, _silenceLimit) = (target, silenceLimit);
        _listener = Open(place);
        _listener.Bind(place);
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    public WireFault Fault { get; }

    /// <summary>When it first did harm, of <see cref="Stopwatch"/>; 0 before.</summary>
    public long Struck => Interlocked.Read(ref _struck);

    /// <summary>Where it listens for ranks of other hosts.</summary>
    public IPEndPoint EndPoint => (IPEndPoint)_listener.LocalEndPoint!;

    /// <summary>Listens on a port of its own for whoever would dial <paramref name="target"/>.</summary>
    public static FaultProxy Listen(IPEndPoint target, int seed, TimeSpan silenceLimit) => new(new IPEndPoint(IPAddress.Loopback, 0), target, seed, silenceLimit);

    /// <summary>Takes the place of the socket that a rank listens on, once it does; the socket itself is moved aside.</summary>
    public static async Task<FaultProxy> PlaceAsync(string path, int seed, TimeSpan silenceLimit)
    {
        for (var i = 0; i < 2000 && !File.Exists(path); i++)
        {
            await Task.Delay(10);
        }

        File.Move(path, path + ".real");
        return new FaultProxy(new UnixDomainSocketEndPoint(path), new UnixDomainSocketEndPoint(path + ".real"), seed, silenceLimit);
    }

    public void Arm() => _isArmed = true;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_target is UnixDomainSocketEndPoint file)
        {
            File.Delete(file.ToString());
        }
    }

    public override string ToString() => $"{Fault} {(_upwards ? "to the dialer" : "to the listener")} at byte {_position}";

    private static Socket Open(EndPoint place) => new(
        place.AddressFamily, SocketType.Stream, place is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);

    private async Task AcceptAsync()
    {
        List<Task> connections = [];
        try
        {
            while (true)
            {
                var dialer = await _listener.AcceptAsync(_stop.Token);
                var target = Open(_target);
                await target.ConnectAsync(_target, _stop.Token);
                connections.Add(PassAsync(dialer, target, harms: !_upwards));
                connections.Add(PassAsync(target, dialer, harms: _upwards));
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(connections);
        }
    }

    private async Task PassAsync(Socket from, Socket to, bool harms)
    {
        var buffer = new byte[16 << 10];
        var passed = 0L; // since it was armed
        try
        {
            while (await from.ReceiveAsync(buffer, _stop.Token) is > 0 and var count)
            {
                var piece = buffer.AsMemory(0, count);
                if (_isArmed)
                {
                    piece = await HarmAsync(piece, passed, harms);
                    if (piece.Length < count)
                    {
                        Strike();
                    }

                    passed += count;
                }

                if (piece.Length < count && Fault == WireFault.Reset)
                {
                    Array.ForEach([from, to], socket => socket.LingerState = new LingerOption(enable: true, seconds: 0));
                    break;
                }

                await to.SendAsync(piece, _stop.Token);
                if (piece.Length < count && Fault == WireFault.Truncate)
                {
                    break;
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // One end is gone; so is the other, below.
        }

        from.Dispose();
        to.Dispose();
    }

    private void Strike() => Interlocked.CompareExchange(ref _struck, Stopwatch.GetTimestamp(), 0);

    // Returns what of the piece passes.
    private async Task<Memory<byte>> HarmAsync(Memory<byte> piece, long passed, bool harms)
    {
        switch (Fault)
        {
            case WireFault.Delay:
                await Task.Delay(2, _stop.Token);
                return piece;
            case WireFault.Rate:
                await Task.Delay(TimeSpan.FromSeconds(piece.Length / (double)(1 << 20)), _stop.Token);
                return piece;
            case WireFault.Stall when harms && Interlocked.Exchange(ref _hasStalled, 1) == 0:
                await Task.Delay(_silenceLimit / 3, _stop.Token);
                return piece;
            case WireFault.Mute or WireFault.Truncate or WireFault.Reset when harms:
                return piece[..(int)Math.Clamp(_position - passed, 0, piece.Length)];
            case WireFault.Flip when harms && _position >= passed && _position < passed + piece.Length:
                Strike();
                piece.Span[(int)(_position - passed)] ^= (byte)(1 << (int)(_position % 8));
                return piece;
            default:
                return piece;
        }
    }
}
