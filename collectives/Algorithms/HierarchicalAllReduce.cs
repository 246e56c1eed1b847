using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// For ranks of several hosts, of which some share one: inside a host first, then between the hosts. Every rank sends its values to the
/// leader of its host, who reduces the host's units (<see cref="HostMap"/>); the leaders exchange these and go on with the tree where the
/// units end; each hands the result to the ranks of its host. Three steps, of which one crosses the network, and over it goes one message a unit and pair
/// of hosts instead of one a pair of ranks. The combinations and their order are those of the tree, so the bits are those of the other algorithms.
/// <para>
/// Between more than two hosts the segments of a long message have <em>owners</em>, host by host in turn: units go to the owner alone, who sends the result to
/// all. Otherwise each leader gets all units and is an owner of every segment.
/// </para>
/// <para>
/// The message is worked off in <em>blocks</em> of a few segments, so that what is on its way fits the mailboxes on all sides: in each, first every rank sends
/// (phase A), then owners receive and reduce (phase B), then the others receive results (phase C).
/// </para>
/// </summary>
internal sealed class HierarchicalAllReduce
{
    // Of all units of a host together; a quarter of what a mailbox holds in bytes.
    private const int BlockSegmentCount = 16;

    private readonly PeerMesh _mesh;
    private readonly ReductionTree _tree;
    private readonly HostMap _hosts;
    private readonly int _host;
    private readonly int _leader;
    private readonly int _blockSegmentCount;
    private readonly byte[] _encoded = new byte[MessageSegments.ByteCount];
    private readonly List<byte[]> _results = []; // [2 x depth + side, byte], as ReductionTree's
    private readonly byte[]?[] _units;           // [unit, byte]: the segment that is being reduced
    private byte[][] _own = [];                  // [segment of the block x own unit count + own unit, byte]

    /// <param name="mesh">The ranks.</param>
    /// <param name="tree">Of the same mesh.</param>
    /// <param name="hosts">Of the same mesh.</param>
    public HierarchicalAllReduce(PeerMesh mesh, ReductionTree tree, HostMap hosts)
    {
        (_mesh, _tree, _hosts) = (mesh, tree, hosts);
        _host = hosts.HostOf(mesh.Rank);
        _leader = hosts.LeaderOf(_host);
        _blockSegmentCount = Math.Max(1, BlockSegmentCount / hosts.MaxUnitCount);
        _units = new byte[hosts.Units.Count][];
    }

    /// <summary>Whether it sends less over the network than the algorithms that know nothing of hosts.</summary>
    public bool IsWorthwhile => _hosts.Units.Count < _mesh.WorldSize;

    /// <summary>Reduces [element] over all ranks, in place.</summary>
    public void Run(Span<byte> values, Reduction reduction, WireFormat wire)
    {
        var segments = new MessageSegments(values.Length);
        var hasOwners = _hosts.HostCount > 2 && values.Length >= ChunkedAllReduce.MinByteCount;
        for (var first = 0; first < segments.Count; first += _blockSegmentCount)
        {
            var block = new Block(segments, first, Math.Min(segments.Count, first + _blockSegmentCount), hasOwners ? _hosts.HostCount : 0);
            if (_mesh.Rank == _leader)
            {
                Lead(block, values, reduction, wire);
            }
            else
            {
                Follow(block, values);
            }
        }
    }

    // The leader sends the owned segments' results first.
    private void Follow(Block block, Span<byte> values)
    {
        for (var index = block.First; index < block.End; index++)
        {
            _mesh[_leader].Send(block.Of(values, index), values.Length);
        }

        foreach (var isOwner in (ReadOnlySpan<bool>)[true, false])
        {
            for (var index = block.First; index < block.End; index++)
            {
                if (block.IsOwner(_host, index) == isOwner)
                {
                    _mesh[_leader].Receive(block.Of(values, index), values.Length);
                }
            }
        }
    }

    private void Lead(Block block, Span<byte> values, Reduction reduction, WireFormat wire)
    {
        for (var index = block.First; index < block.End; index++)
        {
            SendUnits(block, index, values, reduction, wire);
        }

        for (var index = block.First; index < block.End; index++)
        {
            if (block.IsOwner(_host, index))
            {
                var result = block.Of(values, index);
                ReceiveUnits(block, index, result.Length, values.Length, wire);
                Node(firstRank: 0, _mesh.WorldSize, depth: 0, reduction, result);
                if (block.HasOwners)
                {
                    Send(result, values.Length, wire, toHost: null);
                }

                SendInside(result, values.Length);
            }
        }

        for (var index = block.First; index < block.End; index++)
        {
            if (!block.IsOwner(_host, index))
            {
                var result = block.Of(values, index);
                Receive(_mesh[_hosts.LeaderOf(block.OwnerOf(index))], result, values.Length, wire);
                SendInside(result, values.Length);
            }
        }
    }

    // Phase A: reduces this host's units of a segment and sends them to whoever owns it.
    private void SendUnits(Block block, int index, Span<byte> values, Reduction reduction, WireFormat wire)
    {
        var segment = block.Of(values, index);
        var units = _hosts.UnitsOf(_host);
        for (var i = 0; i < units.Length; i++)
        {
            var result = Own(((index - block.First) * units.Length) + i).AsSpan(0, segment.Length);
            _tree.ReduceUnit(units[i].FirstRank, units[i].Count, segment, values.Length, reduction, result);
            if (!block.HasOwners)
            {
                Send(result, values.Length, wire, toHost: null);
            }
            else if (block.OwnerOf(index) is var owner && owner != _host)
            {
                Send(result, values.Length, wire, owner);
            }
        }
    }

    // Phase B: has the segment of every unit at hand.
    private void ReceiveUnits(Block block, int index, int byteCount, int messageByteCount, WireFormat wire)
    {
        for (var host = 0; host < _hosts.HostCount; host++)
        {
            var units = _hosts.UnitsOf(host);
            for (var i = 0; i < units.Length; i++)
            {
                ref var unit = ref _units[_hosts.UnitAt(units[i].FirstRank)];
                if (host == _host)
                {
                    unit = Own(((index - block.First) * units.Length) + i);
                }
                else
                {
                    unit ??= new byte[MessageSegments.ByteCount];
                    Receive(_mesh[_hosts.LeaderOf(host)], unit.AsSpan(0, byteCount), messageByteCount, wire);
                }
            }
        }
    }

    // To one host or, where none is named, to all others. Afterwards the segment has the values that the others get.
    private void Send(Span<byte> segment, int messageByteCount, WireFormat wire, int? toHost)
    {
        ReadOnlySpan<byte> payload = segment;
        if (wire != WireFormat.Exact)
        {
            var encoded = _encoded.AsSpan(0, NarrowWire.ByteCount(segment.Length, wire));
            NarrowWire.Encode(segment, encoded, wire);
            NarrowWire.Decode(encoded, segment, wire);
            payload = encoded;
        }

        for (var step = 1; step < _hosts.HostCount; step++)
        {
            var host = (_host + step) % _hosts.HostCount;
            if (toHost is null || toHost == host)
            {
                _mesh[_hosts.LeaderOf(host)].Send(payload, NarrowWire.ByteCount(messageByteCount, wire));
            }
        }
    }

    private static void Receive(PeerLink leader, Span<byte> segment, int messageByteCount, WireFormat wire)
    {
        if (wire == WireFormat.Exact)
        {
            leader.Receive(segment, messageByteCount);
            return;
        }

        NarrowWire.Decode(leader.Borrow(NarrowWire.ByteCount(segment.Length, wire), NarrowWire.ByteCount(messageByteCount, wire)), segment, wire);
        leader.Release();
    }

    private void SendInside(ReadOnlySpan<byte> segment, int messageByteCount)
    {
        for (var rank = _leader + 1; rank < _mesh.WorldSize; rank++)
        {
            if (_hosts.HostOf(rank) == _host)
            {
                _mesh[rank].Send(segment, messageByteCount);
            }
        }
    }

    // The tree from the root to the units, as ReductionTree walks it to its leaves.
    private ReadOnlySpan<byte> Node(int firstRank, int count, int depth, Reduction reduction, Span<byte> result)
    {
        if (_hosts.UnitAt(firstRank) is >= 0 and var unit && _hosts.Units[unit].Count == count)
        {
            return _units[unit].AsSpan(0, result.Length);
        }

        var half = ReductionTree.FirstHalf(count);
        var left = Node(firstRank, half, depth + 1, reduction, Scratch(2 * depth, result.Length));
        var right = Node(firstRank + half, count - half, depth + 1, reduction, Scratch((2 * depth) + 1, result.Length));
        reduction.Combine(left, right, result);
        return result;
    }

    private Span<byte> Scratch(int index, int byteCount)
    {
        while (_results.Count <= index)
        {
            _results.Add(new byte[MessageSegments.ByteCount]);
        }

        return _results[index].AsSpan(0, byteCount);
    }

    private byte[] Own(int index)
    {
        if (_own.Length <= index)
        {
            var count = _own.Length;
            Array.Resize(ref _own, index + 1);
            for (var i = count; i < _own.Length; i++)
            {
                _own[i] = new byte[MessageSegments.ByteCount];
            }
        }

        return _own[index];
    }

    /// <summary>Some segments of a message.</summary>
    /// <param name="Segments">The cut of the message.</param>
    /// <param name="First">The first one.</param>
    /// <param name="End">Behind the last one.</param>
    /// <param name="OwnerCount">The number of hosts that take turns; 0 where every host owns every segment.</param>
    private readonly record struct Block(MessageSegments Segments, int First, int End, int OwnerCount)
    {
        public bool HasOwners => OwnerCount > 0;

        public int OwnerOf(int index) => index % OwnerCount;

        public bool IsOwner(int host, int index) => !HasOwners || OwnerOf(index) == host;

        public Span<byte> Of(Span<byte> values, int index)
        {
            var (offset, length) = Segments[index];
            return values.Slice(offset, length);
        }
    }
}
