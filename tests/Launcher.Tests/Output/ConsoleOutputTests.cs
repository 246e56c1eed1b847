using System.Diagnostics;
using System.Text;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.Output;

/// <summary>Text and lines on one screen.</summary>
public sealed class ConsoleOutputTests
{
    private readonly MemoryStream _screen = new();

    [Fact]
    public async Task WriteLines_WhileTextIsGrowing_WaitForItsEnd()
    {
        var console = new ConsoleOutput(_screen, _screen, sameTerminal: true, patience: TimeSpan.FromSeconds(1.5));
        console.WriteText(ConsoleTarget.Out, "Once "u8);
        var line = Task.Run(() => console.WriteLines(ConsoleTarget.Error, "[rank1]: note\n"u8));
        await Task.Delay(50);
        console.WriteText(ConsoleTarget.Out, "upon a time.\n"u8);
        await line.DefaultTimeout();
        Assert.Equal("Once upon a time.\n[rank1]: note\n", Screen);
    }

    [Fact]
    public void WriteLines_TextHasStopped_BreakItsLineAfterAMoment()
    {
        var console = new ConsoleOutput(_screen, _screen, sameTerminal: true);
        console.WriteText(ConsoleTarget.Out, "Once "u8);
        var start = Stopwatch.GetTimestamp();
        console.WriteLines(ConsoleTarget.Error, "note\n"u8);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalMilliseconds, 150, 10_000);
        console.WriteText(ConsoleTarget.Out, "upon"u8);
        Assert.Equal("Once \nnote\nupon", Screen);
    }

    [Fact]
    public async Task WriteLines_TextThatNeverEnds_DoesNotHoldThemBackForever()
    {
        var console = new ConsoleOutput(_screen, _screen, sameTerminal: true, patience: TimeSpan.FromSeconds(10));
        var line = Task.Run(() =>
        {
            console.WriteText(ConsoleTarget.Out, "."u8);
            console.WriteLines(ConsoleTarget.Error, "note\n"u8);
        });
        while (!line.IsCompleted)
        {
            console.WriteText(ConsoleTarget.Out, "."u8);
            await Task.Delay(20);
        }

        await line.DefaultTimeout();
        Assert.Contains(".\nnote\n", Screen, StringComparison.Ordinal);
    }

    [Fact]
    public void WriteLines_StreamsApart_DoNotWait()
    {
        using var error = new MemoryStream();
        var console = new ConsoleOutput(_screen, error, sameTerminal: false);
        console.WriteText(ConsoleTarget.Out, "Once "u8);
        console.WriteLines(ConsoleTarget.Error, "note\n"u8);
        Assert.Equal(("Once ", "note\n"), (Screen, Encoding.UTF8.GetString(error.ToArray())));
    }

    private string Screen
    {
        get
        {
            lock (_screen)
            {
                return Encoding.UTF8.GetString(_screen.ToArray());
            }
        }
    }
}
