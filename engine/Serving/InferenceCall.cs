using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Distributed.Engine.Generation;

namespace Distributed.Engine.Serving;

/// <summary>
/// A request that was taken, as its reader sees it. One thread reads; <see cref="Dispose"/> may be called by any. A reader that does not read holds up its
/// own row and no other.
/// </summary>
public sealed class InferenceCall : IDisposable
{
    private readonly Channel<TokenEvent> _events;
    private readonly int _capacity;
    private readonly Action _wake;
    private volatile int _cachedTokenCount;
    private volatile bool _isCancelled;
    private volatile bool _isComplete;
    private volatile bool _isWaitingForReader;

    /// <param name="request">What was asked for.</param>
    /// <param name="capacity">Events that may be unread.</param>
    /// <param name="wake">Called where the model's thread should look at the call again.</param>
    internal InferenceCall(InferenceRequest request, int capacity, Action wake)
    {
        Request = request;
        _capacity = capacity; // and one place for the end, which then needs no room
        _wake = wake;
        _events = Channel.CreateBounded<TokenEvent>(new BoundedChannelOptions(capacity + 1) { SingleReader = true, SingleWriter = true });
    }

    /// <summary>What was asked for.</summary>
    public InferenceRequest Request { get; }

    /// <summary>Tokens of the prompt.</summary>
    public int PromptTokenCount => Request.Prompt.Length;

    /// <summary>
    /// Tokens of the prompt that were not computed, because their prefix was in the cache; known from the first event on.
    /// </summary>
    public int CachedTokenCount
    {
        get => _cachedTokenCount;
        internal set => _cachedTokenCount = value;
    }

    /// <summary>Whether the reader gave the call up, or completed it.</summary>
    internal bool IsCancelled => _isCancelled;

    /// <summary>Whether the reader completed it.</summary>
    internal bool IsComplete => _isComplete;

    /// <summary>Whether the row waits until its reader has read half of the events.</summary>
    internal bool IsWaitingForReader => _isWaitingForReader;

    /// <summary>Events that can be written now. Only the reader changes it behind the writer's back, and only upwards.</summary>
    internal int Room => _capacity - _events.Reader.Count;

    /// <summary>
    /// The call's tokens as they come, then its end, whose <see cref="TokenEvent.FinishReason"/> is set. Leaving the loop, or cancelling, gives the call up.
    /// </summary>
    /// <exception cref="InferenceFailedException">The call ended without its answer; events that came before are delivered first.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled, or the call disposed.</exception>
    public async IAsyncEnumerable<TokenEvent> ReadAllAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        try
        {
            while (await _events.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                while (_events.Reader.TryRead(out var news))
                {
                    if (_isWaitingForReader && Room > _capacity / 2)
                    {
                        _isWaitingForReader = false;
                        _wake();
                    }

                    yield return news;
                }
            }
        }
        finally
        {
            Dispose();
        }
    }

    /// <summary>Gives the call up: its slot and its memory are free before the next step. Nothing happens where it has ended.</summary>
    public void Dispose()
    {
        _isCancelled = true; // first, so that nobody takes what is not written any more for a mistake
        if (_events.Writer.TryComplete(new OperationCanceledException("The call was disposed.")))
        {
            _wake();
        }
    }

    /// <summary>As <see cref="Dispose"/>, by a reader that has all it wants, such as a text up to a stop: the request counts as finished.</summary>
    public void Complete()
    {
        _isComplete = true;
        Dispose();
    }

    /// <summary>Reports an event, for which there is room unless the call was given up.</summary>
    internal void Write(TokenEvent news)
    {
        var isWritten = _events.Writer.TryWrite(news);
        Debug.Assert(isWritten || _isCancelled, "An event was written for which the reader had left no room.");
    }

    /// <summary>Sets <see cref="IsWaitingForReader"/> until half of the events are read.</summary>
    internal void WaitForReader()
    {
        _isWaitingForReader = true;
        if (Room > _capacity / 2)
        {
            _isWaitingForReader = false; // it was read meanwhile, by a reader that may have looked too early
        }
    }

    /// <summary>Reports the end.</summary>
    internal void End(int position, int tokenId, FinishReason reason)
    {
        Write(new TokenEvent(position, tokenId, LogProbability: null, [], reason, IsPrompt: false));
        _events.Writer.TryComplete();
    }

    /// <summary>Ends the call without its answer.</summary>
    internal void Fail(InferenceFailedException error) => _events.Writer.TryComplete(error);
}
