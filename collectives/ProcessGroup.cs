using System.Runtime.InteropServices;
using Distributed.Collectives.Algorithms;

namespace Distributed.Collectives;

/// <summary>
/// The ranks of a job, as one of them sees them: who they are and the collective operations between them.
/// </summary>
/// <remarks>
/// <para>All ranks call the same operations in the same order with the same lengths and tags. Operations block the calling thread, and
/// one thread at a time may be inside one: the thread that drives the forward pass owns the group.</para>
/// <para>The first failure aborts the group: it is thrown by the operation that met it, told to every peer, and thrown again, marked as a
/// consequence, by each later operation on every rank (<see cref="GroupAbortedException"/>).</para>
/// </remarks>
public abstract class ProcessGroup : IDisposable
{
    /// <summary>The limit of an operation that names none: 5 minutes, above the longest prefill and far below a user's patience.</summary>
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromMinutes(5);

    /// <summary>This process, from 0 to <see cref="WorldSize"/> - 1.</summary>
    public abstract int Rank { get; }

    /// <summary>The number of ranks.</summary>
    public abstract int WorldSize { get; }

    /// <summary>One line for the user: which transport connects the ranks.</summary>
    public abstract string TransportDescription { get; }

    /// <summary>What this rank's operations have cost so far, those of subgroups included, and whom it has waited for.</summary>
    public virtual GroupStatistics Statistics => GroupStatistics.None;

    /// <summary>Signalled when the group has been aborted, by whichever rank.</summary>
    public abstract CancellationToken Aborted { get; }

    /// <summary>
    /// The rank of which nothing was heard for the longest time, and that time; itself and zero where there is no other. Ranks tell each other five times a
    /// second that they run, so one that is silent for a second is stopped, starved or cut off, long before silence ends the group. The ranks are those of
    /// the whole group, in a subgroup too.
    /// </summary>
    public virtual (int Rank, TimeSpan Time) LongestSilence => (Rank, TimeSpan.Zero);

    /// <summary>Sums <paramref name="values"/> over all ranks; afterwards every rank holds the same bits.</summary>
    /// <param name="values">[element], float32, in place; of equal length on every rank; length 0 is allowed.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <exception cref="CollectiveTimeoutException">A peer did not answer within the limit; the group is aborted.</exception>
    /// <exception cref="PeerLostException">The connection to a peer ended; <see cref="CollectiveException.PeerRank"/> names it.</exception>
    /// <exception cref="GroupAbortedException">The group was aborted before, here or on another rank.</exception>
    /// <remarks>
    /// The order of the sum is the canonical tree: pairs of neighbours in rank order, then pairs of those, so that a world of one that
    /// sums its groups by the same tree has the same bits. In a world whose size is no power of two the last, incomplete subtree is
    /// carried up as it is.
    /// </remarks>
    public virtual void AllReduce(Span<float> values, CollectiveOptions options = default)
        => AllReduce(MemoryMarshal.AsBytes(values), DataType.Float32, ReduceOperation.Sum, options);

    /// <summary>Reduces <paramref name="values"/> over all ranks; afterwards every rank holds the same bits.</summary>
    /// <param name="values">[element], in place; of equal length on every rank; length 0 is allowed.</param>
    /// <param name="type">What the elements are.</param>
    /// <param name="operation">What is done with them.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/remarks"/>
    public abstract void AllReduce(Span<byte> values, DataType type, ReduceOperation operation, CollectiveOptions options = default);

    /// <summary>Reduces <paramref name="values"/> over all ranks, on rank <paramref name="root"/>.</summary>
    /// <param name="values">[element], of equal length on every rank; overwritten on the root, read elsewhere.</param>
    /// <param name="type">What the elements are.</param>
    /// <param name="operation">What is done with them.</param>
    /// <param name="root">The rank that has the result.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Reduce(Span<byte> values, DataType type, ReduceOperation operation, int root, CollectiveOptions options = default);

    /// <summary>Reduces over all ranks and leaves each rank its part of the result.</summary>
    /// <param name="all">[rank, element]: what this rank adds to each rank's part.</param>
    /// <param name="part">[element]: this rank's part of the result; may not overlap <paramref name="all"/>.</param>
    /// <param name="type">What the elements are.</param>
    /// <param name="operation">What is done with them.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void ReduceScatter(
        ReadOnlySpan<byte> all, Span<byte> part, DataType type, ReduceOperation operation, CollectiveOptions options = default);

    /// <summary>Collects the equal-sized parts of all ranks, in rank order, on every rank.</summary>
    /// <param name="part">[byte], this rank's part.</param>
    /// <param name="all">[rank, byte], of length <see cref="WorldSize"/> x part; may not overlap <paramref name="part"/>.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void AllGather(ReadOnlySpan<byte> part, Span<byte> all, CollectiveOptions options = default);

    /// <summary>Collects the equal-sized parts of all ranks, in rank order, on rank <paramref name="root"/>.</summary>
    /// <param name="part">[byte], this rank's part.</param>
    /// <param name="all">[rank, byte] on the root; ignored, and may be empty, elsewhere.</param>
    /// <param name="root">The rank that receives.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Gather(ReadOnlySpan<byte> part, Span<byte> all, int root, CollectiveOptions options = default);

    /// <summary>Gives each rank its part of what rank <paramref name="root"/> has.</summary>
    /// <param name="all">[rank, byte] on the root; ignored, and may be empty, elsewhere.</param>
    /// <param name="part">[byte]: this rank's part; may not overlap <paramref name="all"/>.</param>
    /// <param name="root">The rank that sends.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Scatter(ReadOnlySpan<byte> all, Span<byte> part, int root, CollectiveOptions options = default);

    /// <summary>Gives each rank a part of every rank's values: part i goes to rank i, and what comes from rank i is part i.</summary>
    /// <param name="sent">[rank, byte]</param>
    /// <param name="received">[rank, byte], of the same length; may not overlap <paramref name="sent"/>.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void AllToAll(ReadOnlySpan<byte> sent, Span<byte> received, CollectiveOptions options = default);

    /// <summary>Copies <paramref name="values"/> of rank <paramref name="root"/> to every rank.</summary>
    /// <param name="values">[byte], of equal length on every rank; read on the root, overwritten elsewhere.</param>
    /// <param name="root">The rank that sends.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Broadcast(Span<byte> values, int root, CollectiveOptions options = default);

    /// <summary>Returns when every rank has called it.</summary>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Barrier(CollectiveOptions options = default);

    /// <summary>A barrier whose error names every rank that did not reach it; slower, as all ranks meet at rank 0.</summary>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <exception cref="CollectiveTimeoutException">Ranks did not come within the limit; the message names them all.</exception>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception[@cref='T:Distributed.Collectives.PeerLostException']"/>
    public abstract void MonitoredBarrier(CollectiveOptions options = default);

    /// <summary>Sends <paramref name="values"/> to <paramref name="peer"/>, which receives them with an equal length and tag.</summary>
    /// <param name="values">[byte]; free for reuse on return.</param>
    /// <param name="peer">The rank that receives, not this one.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Send(ReadOnlySpan<byte> values, int peer, CollectiveOptions options = default);

    /// <summary>Receives what <paramref name="peer"/> sends, in the order in which it was sent.</summary>
    /// <param name="values">[byte]; of exactly the length that was sent.</param>
    /// <param name="peer">The rank that sends, not this one.</param>
    /// <param name="options">Tag and time limit of the operation.</param>
    /// <inheritdoc cref="AllReduce(Span{float}, CollectiveOptions)" path="/exception"/>
    public abstract void Receive(Span<byte> values, int peer, CollectiveOptions options = default);

    /// <summary>Ends every running and later operation on every rank with <paramref name="cause"/>; the first cause is kept.</summary>
    /// <param name="cause">One sentence, told to the peers as it is; at most 1 KiB of it.</param>
    public abstract void Abort(string cause);

    /// <summary>A group of some of these ranks, over the same connections; those that are not among them get <see langword="null"/>.</summary>
    /// <param name="ranks">Of this group, in ascending order; a rank's number in the new group is its place here.</param>
    /// <remarks>
    /// It sends nothing, so ranks may make different subgroups. The thread that owns this group owns its subgroups; a failure in one
    /// aborts all. Disposing it leaves the connections alone.
    /// </remarks>
    public abstract ProcessGroup? Subgroup(params ReadOnlySpan<int> ranks);

    /// <summary>Typed twin of <see cref="AllReduce(Span{byte}, DataType, ReduceOperation, CollectiveOptions)"/>.</summary>
    /// <typeparam name="T">float, BFloat16, Half, int, long or byte.</typeparam>
    public void AllReduce<T>(Span<T> values, ReduceOperation operation, CollectiveOptions options = default)
        where T : unmanaged
        => AllReduce(MemoryMarshal.AsBytes(values), Reduction.TypeOf<T>(), operation, options);

    /// <summary>Typed twin of <see cref="Reduce(Span{byte}, DataType, ReduceOperation, int, CollectiveOptions)"/>.</summary>
    /// <typeparam name="T">float, BFloat16, Half, int, long or byte.</typeparam>
    public void Reduce<T>(Span<T> values, ReduceOperation operation, int root, CollectiveOptions options = default)
        where T : unmanaged
        => Reduce(MemoryMarshal.AsBytes(values), Reduction.TypeOf<T>(), operation, root, options);

    /// <summary>Typed twin of <see cref="ReduceScatter(ReadOnlySpan{byte}, Span{byte}, DataType, ReduceOperation, CollectiveOptions)"/>.</summary>
    /// <typeparam name="T">float, BFloat16, Half, int, long or byte.</typeparam>
    public void ReduceScatter<T>(ReadOnlySpan<T> all, Span<T> part, ReduceOperation operation, CollectiveOptions options = default)
        where T : unmanaged
        => ReduceScatter(MemoryMarshal.AsBytes(all), MemoryMarshal.AsBytes(part), Reduction.TypeOf<T>(), operation, options);

    /// <summary>Typed twin of <see cref="AllGather(ReadOnlySpan{byte}, Span{byte}, CollectiveOptions)"/>.</summary>
    public void AllGather<T>(ReadOnlySpan<T> part, Span<T> all, CollectiveOptions options = default)
        where T : unmanaged
        => AllGather(MemoryMarshal.AsBytes(part), MemoryMarshal.AsBytes(all), options);

    /// <summary>Typed twin of <see cref="Gather(ReadOnlySpan{byte}, Span{byte}, int, CollectiveOptions)"/>.</summary>
    public void Gather<T>(ReadOnlySpan<T> part, Span<T> all, int root, CollectiveOptions options = default)
        where T : unmanaged
        => Gather(MemoryMarshal.AsBytes(part), MemoryMarshal.AsBytes(all), root, options);

    /// <summary>Typed twin of <see cref="Broadcast(Span{byte}, int, CollectiveOptions)"/>.</summary>
    public void Broadcast<T>(Span<T> values, int root, CollectiveOptions options = default)
        where T : unmanaged
        => Broadcast(MemoryMarshal.AsBytes(values), root, options);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the connections to the peers.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }
}
