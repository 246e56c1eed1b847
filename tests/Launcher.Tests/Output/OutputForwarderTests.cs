using System.Diagnostics;
using System.Text;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.Output;

/// <summary>The end of a rank's stream, as the launcher's exit waits for it.</summary>
public sealed class OutputForwarderTests
{
    private static readonly TimeSpan Silence = TimeSpan.FromMilliseconds(300);

    private readonly MemoryStream _screen = new();

    /// <summary>A rank that was silent for long writes and dies; the thread that reads gets no turn until the wait for the end has begun.</summary>
    [Fact]
    public void WaitForEnd_ThreadComesLateToTheLastWords_TheyAreShown()
    {
        using var died = new ManualResetEventSlim();
        var forwarder = Start(new LateStream(died, TimeSpan.FromMilliseconds(150)));
        Thread.Sleep(2 * Silence);

        died.Set();
        forwarder.WaitForEnd(Silence);

        Assert.Equal("last words\n", Encoding.UTF8.GetString(_screen.ToArray()));
    }

    [Fact]
    public void WaitForEnd_SomebodyHoldsTheStreamOpen_GivesUpAfterTheSilence()
    {
        using var never = new ManualResetEventSlim();
        var forwarder = Start(new LateStream(never, default));
        var start = Stopwatch.GetTimestamp();

        forwarder.WaitForEnd(Silence);

        Assert.InRange(Stopwatch.GetElapsedTime(start), Silence, TimeSpan.FromSeconds(20));
        never.Set();
    }

    private OutputForwarder Start(Stream source)
        => OutputForwarder.Start(source, new ConsoleOutput(_screen, _screen, sameTerminal: false), new StreamRoute { Console = ConsoleTarget.Out });

    /// <summary>Gives one line some time after an event, then ends.</summary>
    private sealed class LateStream(ManualResetEventSlim ready, TimeSpan delay) : MemoryStream
    {
        private bool _isOver;

        public override int Read(byte[] buffer, int offset, int count)
        {
            if (_isOver)
            {
                return 0;
            }

            ready.Wait();
            Thread.Sleep(delay);
            _isOver = true;
            return Encoding.UTF8.GetBytes("last words\n", buffer.AsSpan(offset, count));
        }

        public override int Read(Span<byte> buffer)
        {
            var bytes = new byte[buffer.Length];
            var count = Read(bytes, 0, bytes.Length);
            bytes.AsSpan(0, count).CopyTo(buffer);
            return count;
        }
    }
}
