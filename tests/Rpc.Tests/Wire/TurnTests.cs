using Grpc.Wire;

namespace Distributed.Rpc.Tests.Wire;

public sealed class TurnTests
{
    private readonly Turn _turn = new("write", "all over");

    [Fact]
    public void Take_WhileTaken_IsRefusedUntilReleased()
    {
        _turn.Take();
        Assert.Contains("previous write", Assert.Throws<InvalidOperationException>(_turn.Take).Message, StringComparison.Ordinal);
        _turn.Release();
        _turn.Take();
    }

    [Fact]
    public async Task Close_WhileTaken_IsIdleAfterTheRelease()
    {
        _turn.Take();

        Assert.True(_turn.TryClose());
        Assert.False(_turn.TryClose());
        var idle = _turn.WhenIdle();
        Assert.False(idle.IsCompleted);
        _turn.Release();

        await idle.DefaultTimeout();
        Assert.Equal("all over", Assert.Throws<InvalidOperationException>(_turn.Take).Message);
    }

    [Fact]
    public async Task WhenIdle_AgainstReleases_NeverHangs()
    {
        for (var i = 0; i < 2000; i++)
        {
            var turn = new Turn("write", "all over");
            turn.Take();
            turn.TryClose();
            var release = Task.Run(turn.Release);
            await turn.WhenIdle().DefaultTimeout();
            await release;
        }
    }
}
