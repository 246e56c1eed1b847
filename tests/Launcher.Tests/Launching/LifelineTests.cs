using System.IO.Pipes;
using System.Text;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Tests.Launching;

public sealed class LifelineTests
{
    private static readonly JobEnvelope Envelope = new("0123456789abcdef", JobSecret.Create(), Epoch: 0, Rank: 1, LauncherProcessId: 42);

    [Fact]
    public async Task UserInput_OverWorkerLink_ArrivesWholeAndEnds()
    {
        using var ends = new Ends();
        var lifeline = ends.Open();
        using var link = new WorkerLink(ends.Write, Envelope with { UserInputIsTerminal = true });
        var received = lifeline.WaitForEnvelope(TimeSpan.FromSeconds(10));
        Assert.Equal((Envelope.JobId, 1, 42, true), (received.JobId, received.Rank, received.LauncherProcessId, received.UserInputIsTerminal));
        Assert.True(Envelope.Secret.Verify("test", [1, 2], received.Secret.Prove("test", [1, 2])));

        var typed = new byte[300_000]; // above the frame, the pipe and the stream's own room
        new Random(5).NextBytes(typed);
        var forwarding = Task.Run(() => Type(link, typed));
        var read = new MemoryStream();
        await Task.Run(() => lifeline.UserInput.CopyTo(read)).DefaultTimeout();
        await forwarding.DefaultTimeout();
        Assert.Equal(typed, read.ToArray());
        Assert.False(ends.Lost.Task.IsCompleted);
    }

    [Fact]
    public async Task Frames_ByteByByte_AreReassembled()
    {
        using var ends = new Ends();
        var lifeline = ends.Open();
        byte[] all = [.. Envelope.ToLine(), 3, 0, 0, 0, .. "abc"u8, 1, 0, 0, 0, .. "d"u8, 0, 0, 0, 0];
        foreach (var one in all)
        {
            ends.Write.WriteByte(one);
        }

        using var reader = new StreamReader(lifeline.UserInput);
        Assert.Equal("abcd", await Task.Run(reader.ReadToEnd).DefaultTimeout());
    }

    [Fact]
    public async Task Envelope_OfALaterAttempt_ArrivesBetweenWhatTheUserTypes()
    {
        using var ends = new Ends();
        var lifeline = ends.Open();
        using var link = new WorkerLink(ends.Write, Envelope);
        var next = Envelope with { Epoch = 3, StoreAddress = "unix:/s3.sock", ErrorFile = "/logs/3/error.json" };
        Assert.True(link.SendUserInput("a"u8));
        Assert.True(link.TrySendEnvelope(next, TimeSpan.Zero));
        Assert.True(link.SendUserInput("b"u8));
        link.EndUserInput();

        var received = await lifeline.NextEnvelopeAsync(CancellationToken.None).DefaultTimeout();
        Assert.Equal((3, next.StoreAddress, next.ErrorFile), (received.Epoch, received.StoreAddress, received.ErrorFile));
        Assert.Null(lifeline.WaitForEnvelope(TimeSpan.FromSeconds(10)).StoreAddress);
        using var reader = new StreamReader(lifeline.UserInput);
        Assert.Equal("ab", await Task.Run(reader.ReadToEnd).DefaultTimeout());
    }

    [Fact]
    public async Task Pipe_LauncherCloses_IsTold()
    {
        using var ends = new Ends();
        var lifeline = ends.Open();
        ends.Write.Write(Envelope.ToLine());
        lifeline.WaitForEnvelope(TimeSpan.FromSeconds(10));
        Assert.False(ends.Lost.Task.IsCompleted);
        ends.Write.Dispose();
        await ends.Lost.Task.DefaultTimeout();
    }

    [Fact]
    public async Task Pipe_LauncherClosesWhileNobodyReadsTheInput_IsToldAllTheSame()
    {
        using var ends = new Ends();
        var hungUp = false;
        _ = new Lifeline(ends.Read, () => Volatile.Read(ref hungUp), () => ends.Lost.TrySetResult());
        using (var link = new WorkerLink(ends.Write, Envelope))
        {
            var forwarding = Task.Run(() => Type(link, new byte[80_000]));
            await forwarding.DefaultTimeout(); // 64 KiB in the stream, the rest in the thread's hands and the pipe
            Assert.False(ends.Lost.Task.IsCompleted);
        }

        Volatile.Write(ref hungUp, true);
        await ends.Lost.Task.DefaultTimeout();
    }

    [Theory]
    [InlineData("hello\n", "not a job envelope")]
    [InlineData("{}\n", "not a job envelope")]
    [InlineData("[]\n", "not a job envelope")]
    [InlineData("{\"job_id\":7}\n", "not a job envelope")]
    [InlineData("{\"job_id\":\"a\",\"secret\":\"AAAA\",\"epoch\":0,\"rank\":0,\"launcher_process_id\":1,\"user_input_is_terminal\":false}\n", "not a job envelope")]
    [InlineData(null, "hold no job envelope")]
    public void WaitForEnvelope_SomethingElse_IsRefused(string? line, string expected)
    {
        using var ends = new Ends();
        var lifeline = ends.Open();
        ends.Write.Write(Encoding.ASCII.GetBytes(line ?? new string('x', JobEnvelope.MaxByteCount)));
        var exception = Assert.Throws<RankEnvironmentException>(() => lifeline.WaitForEnvelope(TimeSpan.FromSeconds(10)));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.False(ends.Lost.Task.IsCompleted);
    }

    [Fact]
    public void WaitForEnvelope_Nothing_TimesOut()
    {
        using var ends = new Ends();
        var exception = Assert.Throws<RankEnvironmentException>(() => ends.Open().WaitForEnvelope(TimeSpan.FromMilliseconds(50)));
        Assert.Contains("within 0.1 s", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Frame_AboveTheLimit_EndsTheWorkerBeforeAnyAllocation()
    {
        using var ends = new Ends();
        var lifeline = ends.Open();
        ends.Write.Write([.. Envelope.ToLine(), 0, 0, 0, 0x7f]);
        lifeline.WaitForEnvelope(TimeSpan.FromSeconds(10));
        await ends.Lost.Task.DefaultTimeout();
    }

    private static void Type(WorkerLink link, byte[] input)
    {
        foreach (var piece in input.Chunk(WorkerLink.MaxInputByteCount))
        {
            Assert.True(link.SendUserInput(piece));
        }

        link.EndUserInput();
    }

    private sealed class Ends : IDisposable
    {
        public Ends()
        {
            var server = new AnonymousPipeServerStream(PipeDirection.Out);
            Write = server;
            Read = new AnonymousPipeClientStream(PipeDirection.In, server.ClientSafePipeHandle);
        }

        public Stream Read { get; }

        public Stream Write { get; }

        public TaskCompletionSource Lost { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Lifeline Open() => new(Read, () => false, () => Lost.TrySetResult());

        public void Dispose() => Write.Dispose();
    }
}
