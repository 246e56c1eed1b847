using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>
/// Many nodes that join, fail, finish, die and come back in random order, on a store whose answers they see at random times. Virtual time and
/// seeds: a seed that fails always fails.
/// </summary>
public sealed class SimulationTests
{
    [Fact]
    public void Nodes_InAnyOrderOfEvents_AgreeAndComeToAnEnd()
    {
        for (var seed = 0; seed < 400; seed++)
        {
            var simulation = new Simulation(seed);
            simulation.Run();
            Assert.True(simulation.IsSettled, $"seed {seed} did not settle: {simulation}");
        }
    }

    private sealed class Simulation
    {
        private static readonly RendezvousLimits Limits = new();

        private readonly Random _random;
        private readonly int _minimum;
        private readonly int _maximum;
        private readonly int _budget;
        private readonly List<SimulatedNode> _nodes = [];
        private readonly Dictionary<int, string> _rounds = []; // [round] = who was in it
        private RendezvousState _state;
        private TimeSpan _now;
        private int _born;

        public Simulation(int seed)
        {
            _random = new Random(seed);
            _minimum = _random.Next(1, 5);
            _maximum = _minimum + _random.Next(0, 4);
            _budget = _random.Next(0, 3);
            _state = Nodes.Empty(_minimum, _maximum, _budget);
        }

        public bool IsSettled => _nodes.All(node => node.IsGone) && (_state.IsClosed || !_state.Nodes.Any());

        public void Run()
        {
            // A while of troubles, then a while in which those that are there can come to an end.
            for (var step = 0; step < 1500; step++)
            {
                _now += TimeSpan.FromSeconds(_random.NextDouble() * 2);
                var troubles = step < 600;
                if (troubles && _nodes.Count(node => !node.IsGone) < _maximum + 2 && _random.Next(10) == 0)
                {
                    _nodes.Add(new SimulatedNode(FormattableString.Invariant($"n{_born++}"), _now));
                }

                if (_nodes.Count(node => !node.IsGone) is > 0 and var living)
                {
                    Step(_nodes.Where(node => !node.IsGone).ElementAt(_random.Next(living)), troubles);
                }
            }
        }

        public override string ToString() => $"{_state} with {string.Join(", ", _nodes.Where(node => !node.IsGone).Select(node => node.Id))}";

        private void Step(SimulatedNode node, bool troubles)
        {
            if (troubles && _random.Next(60) == 0)
            {
                node.IsGone = true; // killed: the others notice in time
                return;
            }

            DropTheSilent(node);
            if (_random.Next(3) > 0)
            {
                node.Seen = _state; // else it acts on what it has seen before
            }

            if (node.Seen is not { } seen)
            {
                return;
            }

            if (node.Round is not { } round)
            {
                Join(node, seen);
            }
            else if (seen.IsClosed || seen.Round > round || !seen.IsParticipant(node.Id))
            {
                Leave(node, seen, round);
            }
            else if (seen.End is not null)
            {
                node.Round = null; // its ranks have ended
                node.After = round;
                node.Started = _now;
            }
            else if (_random.Next(troubles ? 12 : 4) == 0)
            {
                Act(node, seen, troubles);
            }
        }

        private void Join(SimulatedNode node, RendezvousState seen)
        {
            switch (JoinStep.Next(seen, node.Entry, node.After, node.Waits(seen, _now), Limits))
            {
                case JoinStep.Write write:
                    Write(node, seen, write.State);
                    break;
                case JoinStep.Placed placed:
                    node.Round = placed.State.Round;
                    var members = string.Join(",", placed.State.Participants.Select(member => member.Id).Order(StringComparer.Ordinal));
                    Assert.Equal(members, _rounds.GetValueOrDefault(placed.State.Round, members)); // all that are in a round agree who is
                    _rounds[placed.State.Round] = members;
                    break;
                case JoinStep.Fail:
                    Write(node, seen, seen.Remove(node.Id, "gave up"));
                    node.IsGone = node.Seen!.Find(node.Id) is null;
                    break;
            }
        }

        private void Leave(SimulatedNode node, RendezvousState seen, int round)
        {
            if (seen.IsClosed)
            {
                Write(node, seen, seen.Remove(node.Id, "ended"));
                node.IsGone = node.Seen!.Find(node.Id) is null;
                return;
            }

            node.Round = null; // taken for lost: it comes again
            node.After = round;
            node.Started = _now;
        }

        private void Act(SimulatedNode node, RendezvousState seen, bool troubles)
        {
            var next = _random.Next(troubles ? 4 : 1) switch
            {
                1 => seen.EndRound(Nodes.Failure(node.Id, isFinal: seen.RestartCount >= seen.MaxRestarts)),
                2 => seen.Remove(node.Id, "was stopped"),
                _ => seen.Finish(node.Id),
            };
            Write(node, seen, next);
        }

        private void DropTheSilent(SimulatedNode observer)
        {
            foreach (var lost in _nodes.Where(node => node.IsGone && _state.Find(node.Id) is not null && _random.Next(5) == 0))
            {
                if (observer.Seen is { } seen)
                {
                    Write(observer, seen, seen.Remove(lost.Id, "was lost"));
                }
            }
        }

        /// <summary>Compare-and-set, with what has to hold of every change.</summary>
        private void Write(SimulatedNode node, RendezvousState from, RendezvousState to)
        {
            if (ReferenceEquals(from, to) || from.Version != _state.Version)
            {
                node.Seen = _state;
                return;
            }

            to = RendezvousState.FromBytes((to with { Version = from.Version + 1 }).ToBytes());
            var ids = to.Nodes.Select(member => member.Id).ToArray();
            Assert.Equal(ids.Length, ids.Distinct().Count());
            Assert.True(to.Participants.Count <= _maximum);
            Assert.True(to.Round == from.Round || to.Round == from.Round + 1);
            Assert.True(to.RestartCount <= _budget, "more restarts than were asked for");
            Assert.True(!from.IsClosed || to.IsClosed);
            if (to.IsComplete && (!from.IsComplete || to.Round > from.Round))
            {
                Assert.InRange(to.Participants.Count, _minimum, _maximum);
            }

            if (from.IsComplete && to.IsComplete && to.Round == from.Round)
            {
                Assert.Subset(from.Participants.Select(member => member.Id).ToHashSet(), to.Participants.Select(member => member.Id).ToHashSet());
                Assert.True(from.End is null || from.End == to.End);
            }

            _state = to;
            node.Seen = to;
        }
    }

    private sealed class SimulatedNode(string id, TimeSpan born)
    {
        private (int Ordinal, TimeSpan Since) _lastCall;

        public string Id { get; } = id;

        public NodeEntry Entry { get; } = Nodes.Named(id);

        public RendezvousState? Seen { get; set; }

        public int? Round { get; set; }

        public int After { get; set; } = -1;

        public TimeSpan Started { get; set; } = born;

        public bool IsGone { get; set; }

        public JoinWaits Waits(RendezvousState seen, TimeSpan now)
        {
            if (_lastCall.Ordinal != seen.LastCall)
            {
                _lastCall = (seen.LastCall, now);
            }

            return new JoinWaits(now - Started, seen.LastCall > 0 ? now - _lastCall.Since : default, default);
        }
    }
}
