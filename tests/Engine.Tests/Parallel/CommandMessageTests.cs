using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Parallel;

public sealed class CommandMessageTests
{
    [Theory]
    [InlineData(1, 0, 0)]
    [InlineData(1, 1, 90)]
    [InlineData(35, 35, 2)]
    [InlineData(36, 36, 0)]
    [InlineData(512, 512, 100)]
    public void Body_AnyStep_ComesBackAsItWas(int tokenCount, int outputCount, int blockCount)
    {
        var random = new Random(tokenCount);
        var sent = new StepCommand();
        for (var i = 0; i < tokenCount; i++)
        {
            sent.AddToken(random.Next(), random.Next(), random.Next());
        }

        for (var i = 0; i < outputCount; i++)
        {
            sent.AddOutput(random.Next(), random.Next(-1, 100), random.NextSingle(), (LogitsDetail)random.Next(4));
        }

        for (var i = 0; i < blockCount; i++)
        {
            sent.AddBlock(random.Next(), random.Next(), random.Next());
        }

        var body = new byte[CommandMessage.BodyByteCount(tokenCount, outputCount, blockCount)];
        CommandMessage.WriteBody(sent, body);
        var received = StepOf(1, 1);
        CommandMessage.ReadBody(body, tokenCount, outputCount, blockCount, received);

        Assert.Equal(sent.Tokens.ToArray(), received.Tokens.ToArray());
        Assert.Equal(sent.Outputs.ToArray(), received.Outputs.ToArray());
        Assert.Equal(sent.Blocks.ToArray(), received.Blocks.ToArray());
        Assert.Equal(tokenCount <= 35 && blockCount <= 3, CommandMessage.IsInline(body.Length));
    }

    [Fact]
    public void Header_EveryKind_ComesBackAsItWas()
    {
        var message = new byte[CommandMessage.ByteCount];
        foreach (var kind in Enum.GetValues<CommandKind>())
        {
            CommandMessage.WriteHeader(message, kind, 3, 2, -5);

            Assert.True(CommandMessage.TryReadHeader(message, 3, out var read, out var tokens, out var outputs, out var argument));
            Assert.Equal((kind, 3, 2, -5), (read, tokens, outputs, argument));
        }
    }

    [Theory]
    [InlineData(0, 0x31504452)] // signature of another version
    [InlineData(4, 0)] // unknown kinds
    [InlineData(4, 6)]
    [InlineData(4, 258)]
    [InlineData(8, 9)] // more tokens than a step has
    [InlineData(8, -1)]
    [InlineData(12, 9)]
    [InlineData(12, int.MinValue)]
    public void Header_AnyFieldOutOfRange_IsRefused(int offset, int value)
    {
        var message = new byte[CommandMessage.ByteCount];
        CommandMessage.WriteHeader(message, CommandKind.Step, 8, 8);
        Assert.True(CommandMessage.TryReadHeader(message, 8, out _, out _, out _, out _));

        BitConverter.TryWriteBytes(message.AsSpan(offset), value);

        Assert.False(CommandMessage.TryReadHeader(message, 8, out _, out _, out _, out _));
    }

    /// <summary>Bytes that no leader wrote: whatever they say, the limits refuse it or every value is in range.</summary>
    [Fact]
    public void Body_RandomBytes_NeverPassesTheLimitsOutOfRange()
    {
        var limits = new StepLimits(VocabularySize: 100, MaxBatchSize: 4, MaxSequenceLength: 50, MaxTokensPerStep: 16, CacheBlockCount: 3);
        var random = new Random(1);
        var command = new StepCommand();
        var accepted = 0;
        for (var round = 0; round < 20_000; round++)
        {
            var body = new byte[CommandMessage.BodyByteCount(1, 1, 1)];
            random.NextBytes(body);

            // Mostly small numbers, so that some commands pass.
            for (var i = 0; i < body.Length; i++)
            {
                body[i] = (byte)(random.Next(20) == 0 ? body[i] : i % 4 == 0 ? random.Next(3) : 0);
            }

            CommandMessage.ReadBody(body, 1, 1, 1, command);
            if (limits.FindMistake(command) is null)
            {
                accepted++;
                var (token, output, block) = (command.Tokens[0], command.Outputs[0], command.Blocks[0]);
                Assert.True(block.Slot is >= 0 and < 4 && block.Part == 0 && block.Block is >= 0 and < 3);
                Assert.True(token.TokenId is >= 0 and < 100 && token.Slot is >= 0 and < 4 && token.Position is >= 0 and < 50);
                Assert.True(output.TokenIndex == 0 && output.TargetTokenId is >= -1 and < 100 && (int)output.Detail is >= 0 and <= 3);
                Assert.True(output.Temperature == 0 || output.Temperature is >= StepOutput.MinTemperature and < float.PositiveInfinity);
            }
        }

        Assert.InRange(accepted, 20, 19_980);
    }

    private static StepCommand StepOf(int tokenCount, int outputCount)
    {
        var command = new StepCommand();
        for (var i = 0; i < tokenCount; i++)
        {
            command.AddToken(i, 0, i);
        }

        for (var i = 0; i < outputCount; i++)
        {
            command.AddOutput(i);
        }

        return command;
    }
}
