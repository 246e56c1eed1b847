namespace Distributed.Bench;

/// <summary>What a message between two ranks costs.</summary>
/// <param name="Latency">From the end of its sending to its arrival, seconds.</param>
/// <param name="Overhead">Of the processor, at each end, for any message, seconds.</param>
/// <param name="BytesPerSecond">Of the link. Between hosts all ranks of a host share it; inside, it is the copying of each rank's processor.</param>
internal sealed record CostLink(double Latency, double Overhead, double BytesPerSecond);

/// <summary>What the ranks of a host share.</summary>
/// <param name="CoreCount">How many of them compute at the same time.</param>
/// <param name="Switch">What it costs that a core goes from one rank to another, seconds; where there are more ranks than cores each has to be given one in every phase.</param>
/// <param name="BytesPerSecond">What all of them copy and combine together where there are more ranks than cores, whose messages together are more than the caches hold.</param>
/// <param name="SwitchesForEach">Whether a core goes over for every message, as where threads take them, and not only once in a phase.</param>
/// <param name="Near">Of the time of a byte, the share that is saved between ranks that one core serves in turn: its cache has what the other wrote.</param>
internal sealed record CostHost(int CoreCount, double Switch = 0, double BytesPerSecond = double.PositiveInfinity, bool SwitchesForEach = false, double Near = 0)
{
    /// <summary>What a byte takes among so many ranks of a host, by what it takes between two cores: of the other ranks some have the same core.</summary>
    public double ByteFactor(int rankCount) => rankCount > CoreCount ? 1 - (Near * ((double)rankCount / CoreCount - 1) / (rankCount - 1)) : 1;
}

/// <summary>
/// A simulation of messages between ranks on hosts: each rank has a <em>clock</em>, how far its processor is; each host a network interface, one way out and one in,
/// and cores and memory, which bound what its ranks do together. It knows nothing of numbers, and moves whole messages: that a long one is cut and
/// summed while the rest is under way is in the bytes per second.
/// </summary>
internal sealed class CostModel
{
    private readonly int _perHost;
    private readonly CostHost _shared;
    private readonly CostLink _inside;
    private readonly CostLink _between;
    private readonly double _reducedPerSecond;
    private readonly double[] _clock;  // [rank], seconds
    private readonly double[] _out;    // [host]: until when the interface is sending
    private readonly double[] _in;     // [host]
    private readonly double[] _work;   // [host]: of its processors in this phase
    private readonly double[] _moved;  // [host]: bytes through its memory in this phase
    private double _phaseBegan;

    /// <param name="rankCount">The number of ranks.</param>
    /// <param name="perHost">How many of them share a host.</param>
    /// <param name="shared">What those share.</param>
    /// <param name="inside">Inside a host.</param>
    /// <param name="between">Between hosts.</param>
    /// <param name="reducedPerSecond">Bytes that a rank combines with others in a second.</param>
    public CostModel(int rankCount, int perHost, CostHost shared, CostLink inside, CostLink between, double reducedPerSecond)
    {
        (_perHost, _shared, _inside, _between, _reducedPerSecond) = (perHost, shared, inside, between, reducedPerSecond);
        _clock = new double[rankCount];
        var hostCount = (rankCount + perHost - 1) / perHost;
        (_out, _in, _work, _moved) = (new double[hostCount], new double[hostCount], new double[hostCount], new double[hostCount]);
    }

    /// <summary>The number of ranks.</summary>
    public int RankCount => _clock.Length;

    /// <summary>The number of hosts.</summary>
    public int HostCount => _out.Length;

    /// <summary>When the last rank is done, seconds.</summary>
    public double Elapsed => _clock.Max();

    /// <summary>Phases so far.</summary>
    public int PhaseCount { get; private set; }

    /// <summary>Bytes that went through the memory of the first host so far.</summary>
    public double MovedByteCount { get; private set; }

    /// <summary>The ranks of a host.</summary>
    public IEnumerable<int> RanksOf(int host) => Enumerable.Range(host * _perHost, Math.Min(_perHost, RankCount - (host * _perHost)));

    /// <summary>Each of some ranks sends a message to each other one, its right neighbour first, and then takes what it is sent.</summary>
    public void Exchange(IReadOnlyList<int> ranks, double byteCount)
    {
        // When each begins to receive: it has sent all by then.
        var sending = ranks.Select(rank => _clock[rank]).ToArray();
        for (var i = 0; i < ranks.Count; i++)
        {
            for (var step = 1; step < ranks.Count; step++)
            {
                Work(ranks[i], ProcessorTime(ranks[i], ranks[(i + step) % ranks.Count], byteCount));
            }
        }

        for (var step = 1; step < ranks.Count; step++)
        {
            for (var i = 0; i < ranks.Count; i++)
            {
                var to = ranks[(i + step) % ranks.Count];
                sending[i] += ProcessorTime(ranks[i], to, byteCount);
                Take(to, Arrival(ranks[i], to, sending[i], byteCount), ProcessorTime(ranks[i], to, byteCount));
            }
        }
    }

    /// <summary>One rank sends a message to another, which takes it.</summary>
    public void Send(int from, int to, double byteCount)
    {
        var work = ProcessorTime(from, to, byteCount);
        Work(from, work);
        Take(to, Arrival(from, to, _clock[from], byteCount), work);
    }

    /// <summary>A rank combines so many bytes with others.</summary>
    public void Reduce(int rank, double byteCount)
    {
        Work(rank, byteCount / _reducedPerSecond);
        _moved[rank / _perHost] += byteCount;
    }

    /// <summary>Ends a phase: no host has done more in it than its cores and its memory can.</summary>
    public void EndPhase()
    {
        for (var host = 0; host < HostCount; host++)
        {
            var rankCount = RanksOf(host).Count();
            var time = _work[host] / _shared.CoreCount;
            if (rankCount > _shared.CoreCount)
            {
                time += (double)rankCount / _shared.CoreCount * (_shared.SwitchesForEach ? rankCount - 1 : 1) * _shared.Switch;
                time = Math.Max(time, _moved[host] / _shared.BytesPerSecond);
            }

            var earliest = _phaseBegan + time;
            MovedByteCount += host == 0 ? _moved[host] : 0;
            (_work[host], _moved[host]) = (0, 0);
            foreach (var rank in RanksOf(host))
            {
                _clock[rank] = Math.Max(_clock[rank], earliest);
            }
        }

        _phaseBegan = _clock.Min();
        PhaseCount++;
    }

    private CostLink Link(int from, int to) => from / _perHost == to / _perHost ? _inside : _between;

    private double ProcessorTime(int from, int to, double byteCount)
    {
        var link = Link(from, to);
        return link.Overhead + (ReferenceEquals(link, _inside) ? byteCount / link.BytesPerSecond / 2 * _shared.ByteFactor(Math.Min(_perHost, RankCount)) : 0);
    }

    private double Arrival(int from, int to, double sent, double byteCount)
    {
        var link = Link(from, to);
        if (ReferenceEquals(link, _inside))
        {
            _moved[from / _perHost] += 2 * byteCount; // into memory that both see, and out of it
            return sent + link.Latency;
        }

        var time = byteCount / link.BytesPerSecond;
        ref var outward = ref _out[from / _perHost];
        ref var inward = ref _in[to / _perHost];
        outward = Math.Max(outward, sent) + time;
        inward = Math.Max(inward, outward - time + link.Latency) + time;
        return inward;
    }

    private void Work(int rank, double time)
    {
        _clock[rank] += time;
        _work[rank / _perHost] += time;
    }

    private void Take(int rank, double arrival, double work)
    {
        _clock[rank] = Math.Max(_clock[rank], arrival);
        Work(rank, work);
    }
}
